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

define internal ptr @bough_team_allocate(i32 %threads, i64 %spin_ns) nounwind {
entry:
  %at = alloca ptr, align 8
  %team.size = ptrtoint ptr getelementptr (%bough.team, ptr null, i64 1) to i64
  %team.failed = call i32 @posix_memalign(ptr %at, i64 128, i64 %team.size)
  %team.ok = icmp eq i32 %team.failed, 0
  br i1 %team.ok, label %slots, label %nothing
slots:
  %team = load ptr, ptr %at
  %positive = icmp sgt i32 %threads, 1
  %count32 = select i1 %positive, i32 %threads, i32 1
  %count = zext i32 %count32 to i64
  %slots.size = mul i64 %count, 128
  %slots.failed = call i32 @posix_memalign(ptr %at, i64 128, i64 %slots.size)
  %slots.ok = icmp eq i32 %slots.failed, 0
  br i1 %slots.ok, label %fill, label %release
release:
  call void @free(ptr %team)
  br label %nothing
nothing:
  ret ptr null
fill:
  %slots.first = load ptr, ptr %at
  call void @llvm.memset.p0.i64(ptr align 128 %team, i8 0, i64 %team.size, i1 false)
  call void @llvm.memset.p0.i64(ptr align 128 %slots.first, i8 0, i64 %slots.size, i1 false)
  store i64 %count, ptr %team
  %micro = sdiv i64 %spin_ns, 1000
  %spin.at = getelementptr %bough.team, ptr %team, i64 0, i32 1
  store i64 %micro, ptr %spin.at
  %slots.at = getelementptr %bough.team, ptr %team, i64 0, i32 2
  store ptr %slots.first, ptr %slots.at
  %m0 = getelementptr %bough.team, ptr %team, i64 0, i32 28
  %c0 = getelementptr %bough.team, ptr %team, i64 0, i32 29
  %m1 = getelementptr %bough.team, ptr %team, i64 0, i32 30
  %c1 = getelementptr %bough.team, ptr %team, i64 0, i32 31
  %s0 = call i32 @pthread_mutex_init(ptr %m0, ptr null)
  %s1 = call i32 @pthread_cond_init(ptr %c0, ptr null)
  %s2 = call i32 @pthread_mutex_init(ptr %m1, ptr null)
  %s3 = call i32 @pthread_cond_init(ptr %c1, ptr null)
  ret ptr %team
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
  %team.at = getelementptr %bough.slot, ptr %slot, i64 0, i32 1
  store ptr %team, ptr %team.at
  %self.at = getelementptr %bough.slot, ptr %slot, i64 0, i32 2
  store i64 %i, ptr %self.at
  %handle.at = getelementptr %bough.slot, ptr %slot, i64 0, i32 3
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
  %handle.at = getelementptr %bough.slot, ptr %slots, i64 %i, i32 3
  %handle = load i64, ptr %handle.at
  %s0 = call i32 @pthread_join(i64 %handle, ptr null)
  %i.next = add i64 %i, 1
  br label %next
free:
  %m0 = getelementptr %bough.team, ptr %team, i64 0, i32 28
  %c0 = getelementptr %bough.team, ptr %team, i64 0, i32 29
  %m1 = getelementptr %bough.team, ptr %team, i64 0, i32 30
  %c1 = getelementptr %bough.team, ptr %team, i64 0, i32 31
  %s1 = call i32 @pthread_cond_destroy(ptr %c0)
  %s2 = call i32 @pthread_mutex_destroy(ptr %m0)
  %s3 = call i32 @pthread_cond_destroy(ptr %c1)
  %s4 = call i32 @pthread_mutex_destroy(ptr %m1)
  call void @free(ptr %slots)
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
