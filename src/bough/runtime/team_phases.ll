; Continues team.ll, whose `bough_team_run` and `bough_team_parallel` are called `bough_team_enter` and `bough_team_share` here: each
; phase is a region of its own, as where every operator of a framework enters and leaves its threads. For measuring what it is
; worth that a call is one region.

define i32 @bough_team_run(ptr %team, ptr %function, ptr %buffers, ptr %scalars) nounwind {
  %status = call i32 %function(ptr %buffers, ptr %scalars, ptr %team)
  ret i32 %status
}

; The region of one phase: its function, frame and number of indices are what `phase` refers to.
define internal i32 @bough_team_region(ptr %phase, ptr %scalars, ptr %team) nounwind {
  %fn = load ptr, ptr %phase
  %frame.at = getelementptr i8, ptr %phase, i64 8
  %frame = load ptr, ptr %frame.at
  %n.at = getelementptr i8, ptr %phase, i64 16
  %n = load i64, ptr %n.at
  call void @bough_team_share(ptr %team, ptr %fn, ptr %frame, i64 %n)
  ret i32 0
}

define void @bough_team_parallel(ptr %team, ptr %fn, ptr %frame, i64 %n) nounwind {
entry:
  %phase = alloca [3 x i64], align 8
  %several = icmp sgt i64 %n, 1
  br i1 %several, label %region, label %alone
alone:
  call void @bough_team_share(ptr null, ptr %fn, ptr %frame, i64 %n)
  ret void
region:
  store ptr %fn, ptr %phase
  %frame.at = getelementptr i8, ptr %phase, i64 8
  store ptr %frame, ptr %frame.at
  %n.at = getelementptr i8, ptr %phase, i64 16
  store i64 %n, ptr %n.at
  %status = call i32 @bough_team_enter(ptr %team, ptr @bough_team_region, ptr %phase, ptr null)
  ret void
}
