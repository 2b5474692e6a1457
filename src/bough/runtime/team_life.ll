; How a thread team begins and ends, and a region of one phase. Continues team.ll, which has the layout and the protocol.

declare i32 @posix_memalign(ptr, i64, i64)
declare void @free(ptr)
declare void @llvm.memset.p0.i64(ptr, i8, i64, i1)
declare i32 @pthread_create(ptr, ptr, ptr, ptr)
declare i32 @pthread_join(i64, ptr)
declare i32 @pthread_mutex_init(ptr, ptr)
declare i32 @pthread_mutex_destroy(ptr)
declare i32 @pthread_cond_init(ptr, ptr)
declare i32 @pthread_cond_destroy(ptr)

; Memory for a team of %threads, its rooms behind it, and the slots of each behind those: one piece.
define internal ptr @bough_team_allocate(i32 %threads, i64 %spin_ns) nounwind {
entry:
  %at = alloca ptr, align 8
  %positive = icmp sgt i32 %threads, 1
  %count32 = select i1 %positive, i32 %threads, i32 1
  %count = zext i32 %count32 to i64
  %one = ptrtoint ptr getelementptr (%bough.team, ptr null, i64 1) to i64
  %teams = add i64 %count, 1
  %teams.size = mul i64 %teams, %one
  %slots.size = mul i64 %count, 768
  %size = add i64 %teams.size, %slots.size
  %failed = call i32 @posix_memalign(ptr %at, i64 128, i64 %size)
  %ok = icmp eq i32 %failed, 0
  br i1 %ok, label %fill, label %nothing
nothing:
  ret ptr null
fill:
  %team = load ptr, ptr %at
  call void @llvm.memset.p0.i64(ptr align 128 %team, i8 0, i64 %size, i1 false)
  %micro = sdiv i64 %spin_ns, 1000
  %slots = getelementptr %bough.team, ptr %team, i64 %teams
  call void @bough_team_begin(ptr %team, ptr %slots, i64 %count, i64 %micro)
  %rooms = getelementptr %bough.team, ptr %team, i64 1
  %rooms.at = getelementptr %bough.team, ptr %team, i64 0, i32 30
  store ptr %rooms, ptr %rooms.at
  br label %next
next:
  %n = phi i64 [ 0, %fill ], [ %n.next, %next ]
  %room = getelementptr %bough.team, ptr %rooms, i64 %n
  %number = add i64 %count, %n
  %slot = getelementptr %bough.slot, ptr %slots, i64 %number
  call void @bough_team_begin(ptr %room, ptr %slot, i64 1, i64 %micro)
  %n.next = add i64 %n, 1
  %more = icmp ult i64 %n.next, %count
  br i1 %more, label %next, label %done
done:
  ret ptr %team
}

define internal void @bough_team_begin(ptr %team, ptr %slots, i64 %count, i64 %spin) nounwind {
  store i64 %count, ptr %team
  %spin.at = getelementptr %bough.team, ptr %team, i64 0, i32 1
  store i64 %spin, ptr %spin.at
  %slots.at = getelementptr %bough.team, ptr %team, i64 0, i32 2
  store ptr %slots, ptr %slots.at
  %m0 = getelementptr %bough.team, ptr %team, i64 0, i32 24
  %c0 = getelementptr %bough.team, ptr %team, i64 0, i32 25
  %m1 = getelementptr %bough.team, ptr %team, i64 0, i32 26
  %c1 = getelementptr %bough.team, ptr %team, i64 0, i32 27
  %s0 = call i32 @pthread_mutex_init(ptr %m0, ptr null)
  %s1 = call i32 @pthread_cond_init(ptr %c0, ptr null)
  %s2 = call i32 @pthread_mutex_init(ptr %m1, ptr null)
  %s3 = call i32 @pthread_cond_init(ptr %c1, ptr null)
  ret void
}

define internal void @bough_team_end(ptr %team) nounwind {
  %m0 = getelementptr %bough.team, ptr %team, i64 0, i32 24
  %c0 = getelementptr %bough.team, ptr %team, i64 0, i32 25
  %m1 = getelementptr %bough.team, ptr %team, i64 0, i32 26
  %c1 = getelementptr %bough.team, ptr %team, i64 0, i32 27
  %s1 = call i32 @pthread_cond_destroy(ptr %c0)
  %s2 = call i32 @pthread_mutex_destroy(ptr %m0)
  %s3 = call i32 @pthread_cond_destroy(ptr %c1)
  %s4 = call i32 @pthread_mutex_destroy(ptr %m1)
  ret void
}

define ptr @bough_team_create(i32 %threads, i64 %spin_ns) nounwind {
entry:
  %team = call ptr @bough_team_allocate(i32 %threads, i64 %spin_ns)
  %none = icmp eq ptr %team, null
  br i1 %none, label %done, label %begin
begin:
  %count = load i64, ptr %team
  %slots.at = getelementptr %bough.team, ptr %team, i64 0, i32 2
  %slots = load ptr, ptr %slots.at
  br label %next
next:
  %i = phi i64 [ 1, %begin ], [ %i.next, %started ]
  %more = icmp ult i64 %i, %count
  br i1 %more, label %start, label %done
start:
  %slot = getelementptr %bough.slot, ptr %slots, i64 %i
  %team.at = getelementptr %bough.slot, ptr %slot, i64 0, i32 7
  store ptr %team, ptr %team.at
  %self.at = getelementptr %bough.slot, ptr %slot, i64 0, i32 8
  store i64 %i, ptr %self.at
  %handle.at = getelementptr %bough.slot, ptr %slot, i64 0, i32 9
  %failed = call i32 @pthread_create(ptr %handle.at, ptr null, ptr @bough_team_thread, ptr %slot)
  %ok = icmp eq i32 %failed, 0
  br i1 %ok, label %started, label %short
started:
  %i.next = add i64 %i, 1
  br label %next
short:
  ; The system gives no more threads: start over with those it gave.
  %fewer = trunc i64 %i to i32
  call void @bough_team_destroy_first(ptr %team, i64 %i)
  %again = call ptr @bough_team_create(i32 %fewer, i64 %spin_ns)
  ret ptr %again
done:
  ret ptr %team
}

define ptr @bough_team_create_openmp(i32 %threads, i64 %spin_ns, ptr %parallel, ptr %number) nounwind {
entry:
  %team = call ptr @bough_team_allocate(i32 %threads, i64 %spin_ns)
  %none = icmp eq ptr %team, null
  br i1 %none, label %done, label %fill
fill:
  %parallel.at = getelementptr %bough.team, ptr %team, i64 0, i32 3
  store ptr %parallel, ptr %parallel.at
  %number.at = getelementptr %bough.team, ptr %team, i64 0, i32 4
  store ptr %number, ptr %number.at
  br label %done
done:
  ret ptr %team
}

; Ends the workers 1 .. %count - 1 and frees the team.
define internal void @bough_team_destroy_first(ptr %team, i64 %count) nounwind {
entry:
  call void @bough_team_stop(ptr %team)
  %slots.at = getelementptr %bough.team, ptr %team, i64 0, i32 2
  %slots = load ptr, ptr %slots.at
  br label %next
next:
  %i = phi i64 [ 1, %entry ], [ %i.next, %join ]
  %more = icmp ult i64 %i, %count
  br i1 %more, label %join, label %free
join:
  %handle.at = getelementptr %bough.slot, ptr %slots, i64 %i, i32 9
  %handle = load i64, ptr %handle.at
  %s0 = call i32 @pthread_join(i64 %handle, ptr null)
  %i.next = add i64 %i, 1
  br label %next
free:
  %threads = load i64, ptr %team
  call void @bough_team_end(ptr %team)
  br label %room
room:
  %n = phi i64 [ 0, %free ], [ %n.next, %room ]
  %room.at = call ptr @bough_team_room_at(ptr %team, i64 %n)
  call void @bough_team_end(ptr %room.at)
  %n.next = add i64 %n, 1
  %rest = icmp ult i64 %n.next, %threads
  br i1 %rest, label %room, label %freed
freed:
  call void @free(ptr %team)
  ret void
}

define void @bough_team_destroy(ptr %team) nounwind {
entry:
  %none = icmp eq ptr %team, null
  br i1 %none, label %done, label %kind
kind:
  %openmp.at = getelementptr %bough.team, ptr %team, i64 0, i32 3
  %openmp = load ptr, ptr %openmp.at
  %own = icmp eq ptr %openmp, null
  %threads = load i64, ptr %team
  %count = select i1 %own, i64 %threads, i64 1
  call void @bough_team_destroy_first(ptr %team, i64 %count)
  br label %done
done:
  ret void
}

; A region of one phase, for `bough_team_run`: its function, frame and number of indices are what `phase` refers to.
define i32 @bough_team_one_phase(ptr %phase, ptr %scalars, ptr %team) nounwind {
  %fn = load ptr, ptr %phase
  %frame.at = getelementptr i8, ptr %phase, i64 8
  %frame = load ptr, ptr %frame.at
  %n.at = getelementptr i8, ptr %phase, i64 16
  %n = load i64, ptr %n.at
  call void @bough_team_parallel(ptr %team, ptr %fn, ptr %frame, i64 %n)
  ret i32 0
}
