; In place of `bough_team_part` in team.ll: each thread's part of the chunks moves on from phase to phase, so that what it has read
; in one phase another reads in the next. For measuring what it is worth that parts stay.

define internal i64 @bough_team_part(ptr %team, i64 %owner) alwaysinline nounwind {
  %threads = load i64, ptr %team
  %epoch.at = getelementptr %bough.team, ptr %team, i64 0, i32 8
  %epoch = load i64, ptr %epoch.at
  %moved = add i64 %owner, %epoch
  %part = urem i64 %moved, %threads
  ret i64 %part
}
