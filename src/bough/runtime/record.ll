; A thread team that records: each index of each phase, with the thread that ran it and when. Text to put beside the team's
; (team.ll), whose own function is called @bough_team_plain there; `bough.runtime.team.recording_team_text` fills in the address
; of the record, which Python owns:
;
;   i64 phase, turn      what the host part has come to; it writes them itself
;   i64 capacity, count  of events; more are not kept
;   then five i64 for each event: phase, turn, thread, begin and end in nanoseconds of the monotonic clock

%bough.frame = type { ptr, ptr }   ; the function and the frame of a phase

declare i64 @pthread_self()
declare i32 @clock_gettime(i32, ptr)

define internal i64 @bough_record_clock() nounwind {
  %time = alloca [2 x i64], align 8
  %failed = call i32 @clock_gettime(i32 1, ptr %time)
  %seconds = load i64, ptr %time
  %nano.at = getelementptr i64, ptr %time, i64 1
  %nano = load i64, ptr %nano.at
  %scaled = mul i64 %seconds, 1000000000
  %now = add i64 %scaled, %nano
  ret i64 %now
}

define internal void @bough_record_index(ptr %both, i64 %i) nounwind {
entry:
  %fn = load ptr, ptr %both
  %frame.at = getelementptr %bough.frame, ptr %both, i64 0, i32 1
  %frame = load ptr, ptr %frame.at
  %begin = call i64 @bough_record_clock()
  call void %fn(ptr %frame, i64 %i)
  %end = call i64 @bough_record_clock()
  %record = inttoptr i64 RECORD to ptr
  %count.at = getelementptr i64, ptr %record, i64 3
  %number = atomicrmw add ptr %count.at, i64 1 monotonic, align 8
  %capacity.at = getelementptr i64, ptr %record, i64 2
  %capacity = load i64, ptr %capacity.at
  %fits = icmp ult i64 %number, %capacity
  br i1 %fits, label %keep, label %done
keep:
  %phase = load i64, ptr %record
  %turn.at = getelementptr i64, ptr %record, i64 1
  %turn = load i64, ptr %turn.at
  %thread = call i64 @pthread_self()
  %place = mul i64 %number, 5
  %first = add i64 %place, 4
  %phase.to = getelementptr i64, ptr %record, i64 %first
  store i64 %phase, ptr %phase.to
  %turn.to = getelementptr i64, ptr %phase.to, i64 1
  store i64 %turn, ptr %turn.to
  %thread.to = getelementptr i64, ptr %phase.to, i64 2
  store i64 %thread, ptr %thread.to
  %begin.to = getelementptr i64, ptr %phase.to, i64 3
  store i64 %begin, ptr %begin.to
  %end.to = getelementptr i64, ptr %phase.to, i64 4
  store i64 %end, ptr %end.to
  br label %done
done:
  ret void
}

define void @bough_team_parallel(ptr %team, ptr %fn, ptr %frame, i64 %n) nounwind {
  %both = alloca %bough.frame, align 8
  store ptr %fn, ptr %both
  %frame.at = getelementptr %bough.frame, ptr %both, i64 0, i32 1
  store ptr %frame, ptr %frame.at
  call void @bough_team_plain(ptr %team, ptr @bough_record_index, ptr %both, i64 %n)
  ret void
}
