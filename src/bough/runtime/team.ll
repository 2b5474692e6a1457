; The thread team. Target independent; needs POSIX threads only. Linked into every compiled object.
;
;   ptr  bough_team_create(i32 threads, i64 spin_ns)                         threads include the caller's; null: no memory
;   ptr  bough_team_create_openmp(i32 threads, i64 spin_ns, ptr GOMP_parallel, ptr omp_get_thread_num)
;   void bough_team_destroy(ptr team)
;   void bough_team_expect(ptr team)                                         a region comes soon: wake, and stay awake for it
;   i32  bough_team_run(ptr team, ptr entry, ptr buffers, ptr scalars)       one region: entry(buffers, scalars, team or null)
;   void bough_team_parallel(ptr team, ptr fn, ptr frame, i64 n)             inside a region: fn(frame, 0) .. fn(frame, n - 1)
;   i64  bough_team_take(ptr team, i64 rooms)                                inside an iteration: the number of a room to have
;   ptr  bough_team_room(ptr team, i64 number)                               a room as a team, for the iteration's own phases
;   void bough_team_inside(ptr room, ptr fn, ptr frame, i64 n)               one of these
;   void bough_team_leave(ptr team, i64 number)                              gives the room back
;   i32  bough_team_abi()                                                    version of the layout below
;
; Protocol. Only the caller runs the host program; the other threads (workers) claim chunks of the current phase. Each thread has a
; slot. Its first cache line is the phase as that thread is to see it: a ticket, epoch:32 | next:16 | end:16, of its own contiguous
; range of chunks, the same in each phase of the same size, so that what it reads stays in its cache; and what runs them. A claim is
; a compare-and-swap of a whole ticket: the owner takes from the front, others steal from the back. Another line is what the thread
; has done, epoch:32 | chunks:32: it alone writes it, and the caller adds up what all have. So between the caller's store and its
; threads' first load there is one line to pass from core to core, and one behind each thread's last store, however far away cores
; are from each other.
;
; Phases inside phases. An iteration that has parallel loops of its own takes a room: a team of one thread, without workers. Its
; phases have one ticket, of which the thread that has the room takes from the front, and one count of what is done, for all. A
; thread with nothing left to claim helps those that are still under way, as a thief of their tickets, until no room is taken or there are chunks of its own again. So a
; thread that has lost its core keeps one small chunk from the others, not a whole iteration. Where there has been nothing to help
; with for as long as threads spin, it naps now and then: an idle core takes over a thread that waits for one.
;
; Why all but the ticket can be plain memory: the caller writes it before it stores the ticket (release); a thread reads it after a
; successful claim (acquire; claims continue the release sequence) and before it reports the chunk (release); the caller writes the
; next one only after all chunks are reported (acquire). All chunks of a phase being claimed, every ticket is empty when the next is
; stored, so a thread that was descheduled between loading a ticket and claiming fails in its compare-and-swap: within a phase a
; ticket never takes a value twice, and across phases the epoch differs (it wraps after 2^32 phases: over an hour inside one swap).
; So nobody waits for a thread that holds no chunk. A thread may come to chunks of the next phase while it looks through the slots,
; but only when it has reported all of the last: what it reports is of one epoch.
;
; Why no wake-up is lost for good: a worker counts itself as a sleeper, then looks at its ticket; the caller stores the
; tickets, then looks for sleepers; sequentially consistent fences in between make at least one of them see the other. The
; caller never blocks on the workers' mutex: where it is held it signals without, and a worker that just misses that sleeps
; through one phase, whose chunks others take.
;
; A caller that prepares a region (it linearizes a structure, it makes results) lets the workers wake meanwhile: until the region
; begins, they spin 20 times as long before they sleep. Not longer: where the caller itself has lost its core, they would keep it.
;
; A worker that has slept and was needed again so soon that it might as well have spun, within 4 times its spin, spins so long from
; then on, until that was in vain. So calls that follow each other find the workers awake, and where others want the cores, or
; calls are rare, a worker gives up its core as soon as ever.

%bough.team = type {
  i64,           ; 0 threads
  i64,           ; 1 spin, in microseconds
  ptr,           ; 2 slots
  ptr,           ; 3 GOMP_parallel, or null for threads of our own
  ptr,           ; 4 omp_get_thread_num
  [88 x i8],
  i32,           ; 6 busy: 1 while a region runs; of a room, while it is taken
  [124 x i8],
  i64,           ; 8 epoch, kept by the caller
  [120 x i8],
  i32,           ; 10 of a room: chunks not yet reported
  [124 x i8],
  i32,           ; 12 the caller sleeps until all is reported
  [124 x i8],
  i32,           ; 14 sleepers
  i32,           ; 15 count of wake-ups
  i32,           ; 16 stop
  i32,           ; 17 a region is expected
  [112 x i8],
  ptr,           ; 19 region of OpenMP: entry
  ptr,           ; 20 region of OpenMP: buffers
  ptr,           ; 21 region of OpenMP: scalars
  i32,           ; 22 region of OpenMP: status
  [100 x i8],
  [128 x i8],    ; 24 mutex of sleeping workers
  [128 x i8],    ; 25 condition of sleeping workers
  [128 x i8],    ; 26 mutex of the sleeping caller
  [128 x i8],    ; 27 condition of the sleeping caller
  i32,           ; 28 rooms taken
  [124 x i8],
  ptr,           ; 30 rooms, as many as threads
  [120 x i8]
}

; Three parts on cache lines of their own: a thread's phase, written by the caller; itself, written at creation; what it has done.
%bough.slot = type {
  i64,           ; 0 ticket
  ptr,           ; 1 phase: function
  ptr,           ; 2 phase: frame
  i64,           ; 3 phase: n
  i64,           ; 4 phase: indices per chunk
  i64,           ; 5 phase: chunks of all ranges before
  [80 x i8],
  ptr,           ; 7 team
  i64,           ; 8 number of the thread
  i64,           ; 9 pthread_t
  [104 x i8],
  i64,           ; 11 done
  [120 x i8]
}

declare i32 @gettimeofday(ptr, ptr)
declare i32 @usleep(i32)
declare void @llvm.prefetch.p0(ptr, i32, i32, i32)
declare i32 @pthread_mutex_lock(ptr)
declare i32 @pthread_mutex_trylock(ptr)
declare i32 @pthread_mutex_unlock(ptr)
declare i32 @pthread_cond_wait(ptr, ptr)
declare i32 @pthread_cond_signal(ptr)
declare i32 @pthread_cond_broadcast(ptr)

define i32 @bough_team_abi() nounwind {
  ret i32 4
}

; The hint of a spinning thread to its core. `bough.runtime.team.team_text` fills in the processor's instruction.
define internal void @bough_team_pause() alwaysinline nounwind {
  ; pause
  ret void
}

; Microseconds of the wall clock: the one clock with the same call everywhere. Where it is set back or forward, spinning
; ends early, since differences are compared as unsigned numbers.
define internal i64 @bough_team_clock() nounwind {
  %time = alloca [2 x i64], align 8
  %failed = call i32 @gettimeofday(ptr %time, ptr null)
  %seconds = load i64, ptr %time
  %micro.at = getelementptr i8, ptr %time, i64 8
  %micro = load i32, ptr %micro.at
  %scaled = mul i64 %seconds, 1000000
  %wide = zext i32 %micro to i64
  %now = add i64 %scaled, %wide
  ret i64 %now
}

; ---------------------------------------------------------------------------------------------------- claiming and running

; Claims one chunk of a slot's range: the first for its owner, the last for a thief. The ticket of which it is; 0 where there is none.
define internal i64 @bough_team_claim(ptr %slot, i1 %own) nounwind {
entry:
  %first = load atomic i64, ptr %slot monotonic, align 8
  br label %attempt
attempt:
  %ticket = phi i64 [ %first, %entry ], [ %seen, %swap ]
  %shifted = lshr i64 %ticket, 16
  %next = and i64 %shifted, 65535
  %end = and i64 %ticket, 65535
  %some = icmp ult i64 %next, %end
  br i1 %some, label %swap, label %none
swap:
  %front = add i64 %ticket, 65536
  %back = sub i64 %ticket, 1
  %new = select i1 %own, i64 %front, i64 %back
  %pair = cmpxchg ptr %slot, i64 %ticket, i64 %new acquire monotonic, align 8
  %seen = extractvalue { i64, i1 } %pair, 0
  %won = extractvalue { i64, i1 } %pair, 1
  br i1 %won, label %got, label %attempt
got:
  ret i64 %ticket
none:
  ret i64 0
}

; The part of a phase's chunks that is a thread's own: the same in every phase.
define internal i64 @bough_team_part(ptr %team, i64 %owner) alwaysinline nounwind {
  ret i64 %owner
}

; Runs the indices of the chunk claimed from a slot by a ticket.
define internal void @bough_team_chunk(ptr %slot, i64 %ticket, i1 %own) nounwind {
entry:
  %shifted = lshr i64 %ticket, 16
  %next = and i64 %shifted, 65535
  %end = and i64 %ticket, 65535
  %last = sub i64 %end, 1
  %chunk = select i1 %own, i64 %next, i64 %last
  %fn.at = getelementptr %bough.slot, ptr %slot, i64 0, i32 1
  %fn = load ptr, ptr %fn.at
  %frame.at = getelementptr %bough.slot, ptr %slot, i64 0, i32 2
  %frame = load ptr, ptr %frame.at
  %n.at = getelementptr %bough.slot, ptr %slot, i64 0, i32 3
  %n = load i64, ptr %n.at
  %size.at = getelementptr %bough.slot, ptr %slot, i64 0, i32 4
  %size = load i64, ptr %size.at
  %base.at = getelementptr %bough.slot, ptr %slot, i64 0, i32 5
  %base = load i64, ptr %base.at
  %position = add i64 %base, %chunk
  %start = mul i64 %position, %size
  %full = add i64 %start, %size
  %cut = icmp ult i64 %n, %full
  %stop = select i1 %cut, i64 %n, i64 %full
  br label %loop
loop:
  %i = phi i64 [ %start, %entry ], [ %following, %loop ]
  call void %fn(ptr %frame, i64 %i)
  %following = add i64 %i, 1
  %more = icmp ult i64 %following, %stop
  br i1 %more, label %loop, label %done
done:
  ret void
}

; Reports %count chunks of an epoch, run by thread %self.
define internal void @bough_team_report(ptr %team, i64 %self, i64 %epoch, i32 %count) nounwind {
entry:
  %threads = load i64, ptr %team
  %room = icmp eq i64 %threads, 1
  br i1 %room, label %together, label %alone
together:
  %left.at = getelementptr %bough.team, ptr %team, i64 0, i32 10
  %before = atomicrmw sub ptr %left.at, i32 %count acq_rel, align 4
  br label %look
alone:
  %slots.at = getelementptr %bough.team, ptr %team, i64 0, i32 2
  %slots = load ptr, ptr %slots.at
  %done.at = getelementptr %bough.slot, ptr %slots, i64 %self, i32 11
  %last = load atomic i64, ptr %done.at monotonic, align 8
  %last.epoch = lshr i64 %last, 32
  %same = icmp eq i64 %last.epoch, %epoch
  %new = shl i64 %epoch, 32
  %start = select i1 %same, i64 %last, i64 %new
  %wide = zext i32 %count to i64
  %sum = add i64 %start, %wide
  store atomic i64 %sum, ptr %done.at release, align 8
  br label %look
look:
  fence seq_cst
  %asleep.at = getelementptr %bough.team, ptr %team, i64 0, i32 12
  %asleep = load atomic i32, ptr %asleep.at monotonic, align 4
  %awaited = icmp ne i32 %asleep, 0
  br i1 %awaited, label %signal, label %end
signal:
  %mutex = getelementptr %bough.team, ptr %team, i64 0, i32 26
  %condition = getelementptr %bough.team, ptr %team, i64 0, i32 27
  %s0 = call i32 @pthread_mutex_lock(ptr %mutex)
  %s1 = call i32 @pthread_cond_signal(ptr %condition)
  %s2 = call i32 @pthread_mutex_unlock(ptr %mutex)
  br label %end
end:
  ret void
}

; Whether all chunks of the phase are reported.
define internal i1 @bough_team_over(ptr %team, i64 %epoch, i64 %chunks) nounwind {
entry:
  %threads = load i64, ptr %team
  %room = icmp eq i64 %threads, 1
  br i1 %room, label %together, label %begin
together:
  %left.at = getelementptr %bough.team, ptr %team, i64 0, i32 10
  %left = load atomic i32, ptr %left.at acquire, align 4
  %none = icmp eq i32 %left, 0
  ret i1 %none
begin:
  %slots.at = getelementptr %bough.team, ptr %team, i64 0, i32 2
  %slots = load ptr, ptr %slots.at
  br label %add
add:
  %t = phi i64 [ 0, %begin ], [ %t.next, %add ]
  %total = phi i64 [ 0, %begin ], [ %sum, %add ]
  %done.at = getelementptr %bough.slot, ptr %slots, i64 %t, i32 11
  %done = load atomic i64, ptr %done.at acquire, align 8
  %its = lshr i64 %done, 32
  %same = icmp eq i64 %its, %epoch
  %count = and i64 %done, 4294967295
  %mine = select i1 %same, i64 %count, i64 0
  %sum = add i64 %total, %mine
  %t.next = add i64 %t, 1
  %more = icmp ult i64 %t.next, %threads
  br i1 %more, label %add, label %added
added:
  %all = icmp eq i64 %sum, %chunks
  ret i1 %all
}

; Claims and runs until no thread has chunks left: first of the own range, then of the others'. A thread that helps in a room has
; the number 1 there, and no range.
define internal void @bough_team_drain(ptr %team, i64 %self) nounwind {
entry:
  %threads = load i64, ptr %team
  %slots.at = getelementptr %bough.team, ptr %team, i64 0, i32 2
  %slots = load ptr, ptr %slots.at
  br label %visit
visit:
  %k = phi i64 [ 0, %entry ], [ %k.next, %leave ]
  %sum = add i64 %self, %k
  %over = icmp uge i64 %sum, %threads
  %wrapped = sub i64 %sum, %threads
  %owner = select i1 %over, i64 %wrapped, i64 %sum
  %slot = getelementptr %bough.slot, ptr %slots, i64 %owner
  %own = icmp eq i64 %owner, %self
  br label %claim
claim:
  %count = phi i32 [ 0, %visit ], [ %counted, %run ]
  %of = phi i64 [ 0, %visit ], [ %ticket, %run ]
  %ticket = call i64 @bough_team_claim(ptr %slot, i1 %own)
  %none = icmp eq i64 %ticket, 0
  br i1 %none, label %finished, label %run
run:
  call void @bough_team_chunk(ptr %slot, i64 %ticket, i1 %own)
  %counted = add i32 %count, 1
  br label %claim
finished:
  %idle = icmp eq i32 %count, 0
  br i1 %idle, label %leave, label %report
report:
  %epoch = lshr i64 %of, 32
  call void @bough_team_report(ptr %team, i64 %self, i64 %epoch, i32 %count)
  br label %leave
leave:
  %k.next = add i64 %k, 1
  %more = icmp ult i64 %k.next, %threads
  br i1 %more, label %visit, label %done
done:
  ret void
}

; ------------------------------------------------------------------------------------------------------------------ rooms

define internal ptr @bough_team_room_at(ptr %team, i64 %number) alwaysinline nounwind {
  %rooms.at = getelementptr %bough.team, ptr %team, i64 0, i32 30
  %rooms = load ptr, ptr %rooms.at
  %room = getelementptr %bough.team, ptr %rooms, i64 %number
  ret ptr %room
}

; Whether a slot has chunks to claim.
define internal i1 @bough_team_has(ptr %slot) alwaysinline nounwind {
  %ticket = load atomic i64, ptr %slot monotonic, align 8
  %shifted = lshr i64 %ticket, 16
  %next = and i64 %shifted, 65535
  %end = and i64 %ticket, 65535
  %some = icmp ult i64 %next, %end
  ret i1 %some
}

; Runs chunks of the phases in all rooms, as long as there are some; whether there were.
define internal i1 @bough_team_assist(ptr %team) nounwind {
entry:
  %threads = load i64, ptr %team
  br label %look
look:
  %n = phi i64 [ 0, %entry ], [ %n.next, %next ]
  %found = phi i1 [ false, %entry ], [ %found.next, %next ]
  %room = call ptr @bough_team_room_at(ptr %team, i64 %n)
  %slot.at = getelementptr %bough.team, ptr %room, i64 0, i32 2
  %slot = load ptr, ptr %slot.at
  %some = call i1 @bough_team_has(ptr %slot)
  br i1 %some, label %drain, label %next
drain:
  call void @bough_team_drain(ptr %room, i64 1)
  br label %next
next:
  %found.next = or i1 %found, %some
  %n.next = add i64 %n, 1
  %more = icmp ult i64 %n.next, %threads
  br i1 %more, label %look, label %done
done:
  ret i1 %found.next
}

; Helps in the rooms until none is taken or there are chunks of the thread's own again.
define internal void @bough_team_help(ptr %team, i64 %self) nounwind {
entry:
  %taken.at = getelementptr %bough.team, ptr %team, i64 0, i32 28
  %slots.at = getelementptr %bough.team, ptr %team, i64 0, i32 2
  %slots = load ptr, ptr %slots.at
  %slot = getelementptr %bough.slot, ptr %slots, i64 %self
  %spin.at = getelementptr %bough.team, ptr %team, i64 0, i32 1
  %spin = load i64, ptr %spin.at
  %spin32 = trunc i64 %spin to i32
  br label %look
look:
  %since = phi i64 [ 0, %entry ], [ %now, %assist ], [ %since.next, %rest ]
  %taken = load atomic i32, ptr %taken.at monotonic, align 4
  %some = icmp ne i32 %taken, 0
  br i1 %some, label %own, label %done
own:
  %left = call i1 @bough_team_has(ptr %slot)
  br i1 %left, label %done, label %assist
assist:
  %helped = call i1 @bough_team_assist(ptr %team)
  %now = call i64 @bough_team_clock()
  br i1 %helped, label %look, label %wait
wait:
  %begun = icmp ne i64 %since, 0
  %since.next = select i1 %begun, i64 %since, i64 %now
  %waited = sub i64 %now, %since.next
  %long = icmp uge i64 %waited, %spin
  br i1 %long, label %nap, label %rest
nap:
  %slept = call i32 @usleep(i32 %spin32)
  br label %rest
rest:
  call void @bough_team_pause()
  call void @bough_team_pause()
  call void @bough_team_pause()
  call void @bough_team_pause()
  br label %look
done:
  ret void
}

define i64 @bough_team_take(ptr %team, i64 %rooms) nounwind {
entry:
  %alone = icmp eq ptr %team, null
  br i1 %alone, label %only, label %begin
only:
  ret i64 0
begin:
  %threads = load i64, ptr %team
  %fewer = icmp ult i64 %rooms, %threads
  %count = select i1 %fewer, i64 %rooms, i64 %threads
  br label %look
look:
  %n = phi i64 [ 0, %begin ], [ %n.next, %next ], [ 0, %full ]
  %room = call ptr @bough_team_room_at(ptr %team, i64 %n)
  %busy.at = getelementptr %bough.team, ptr %room, i64 0, i32 6
  %before = atomicrmw xchg ptr %busy.at, i32 1 acquire, align 4
  %free = icmp eq i32 %before, 0
  br i1 %free, label %got, label %next
next:
  %n.next = add i64 %n, 1
  %more = icmp ult i64 %n.next, %count
  br i1 %more, label %look, label %full
full:
  ; More threads than rooms.
  %helped = call i1 @bough_team_assist(ptr %team)
  call void @bough_team_pause()
  br label %look
got:
  %taken.at = getelementptr %bough.team, ptr %team, i64 0, i32 28
  %others = atomicrmw add ptr %taken.at, i32 1 monotonic, align 4
  ret i64 %n
}

define ptr @bough_team_room(ptr %team, i64 %number) nounwind {
entry:
  %alone = icmp eq ptr %team, null
  br i1 %alone, label %none, label %some
none:
  ret ptr null
some:
  %room = call ptr @bough_team_room_at(ptr %team, i64 %number)
  ret ptr %room
}

define void @bough_team_leave(ptr %team, i64 %number) nounwind {
entry:
  %alone = icmp eq ptr %team, null
  br i1 %alone, label %done, label %leave
leave:
  %room = call ptr @bough_team_room_at(ptr %team, i64 %number)
  %busy.at = getelementptr %bough.team, ptr %room, i64 0, i32 6
  store atomic i32 0, ptr %busy.at release, align 4
  %taken.at = getelementptr %bough.team, ptr %team, i64 0, i32 28
  %others = atomicrmw sub ptr %taken.at, i32 1 monotonic, align 4
  br label %done
done:
  ret void
}

define void @bough_team_inside(ptr %room, ptr %fn, ptr %frame, i64 %n) nounwind {
  call void @bough_team_parallel(ptr %room, ptr %fn, ptr %frame, i64 %n)
  ret void
}

; ---------------------------------------------------------------------------------------------------------------- workers

; Whether the worker has nothing to do: same epoch in its ticket, no wake-up since, not stopped.
define internal i1 @bough_team_idle(ptr %team, ptr %slot, i64 %epoch, i32 %wakes) nounwind {
  %ticket = load atomic i64, ptr %slot monotonic, align 8
  %now = lshr i64 %ticket, 32
  %same = icmp eq i64 %now, %epoch
  %wakes.at = getelementptr %bough.team, ptr %team, i64 0, i32 15
  %wakes.now = load atomic i32, ptr %wakes.at monotonic, align 4
  %unwoken = icmp eq i32 %wakes.now, %wakes
  %stop.at = getelementptr %bough.team, ptr %team, i64 0, i32 16
  %stop = load atomic i32, ptr %stop.at monotonic, align 4
  %going = icmp eq i32 %stop, 0
  %a = and i1 %same, %unwoken
  %b = and i1 %a, %going
  ret i1 %b
}

define internal void @bough_team_sleep(ptr %team, ptr %slot, i64 %epoch) nounwind {
entry:
  %mutex = getelementptr %bough.team, ptr %team, i64 0, i32 24
  %condition = getelementptr %bough.team, ptr %team, i64 0, i32 25
  %sleepers.at = getelementptr %bough.team, ptr %team, i64 0, i32 14
  %wakes.at = getelementptr %bough.team, ptr %team, i64 0, i32 15
  %s0 = call i32 @pthread_mutex_lock(ptr %mutex)
  %wakes = load atomic i32, ptr %wakes.at monotonic, align 4
  %before = atomicrmw add ptr %sleepers.at, i32 1 seq_cst, align 4
  fence seq_cst
  br label %check
check:
  %idle = call i1 @bough_team_idle(ptr %team, ptr %slot, i64 %epoch, i32 %wakes)
  br i1 %idle, label %wait, label %awake
wait:
  %s1 = call i32 @pthread_cond_wait(ptr %condition, ptr %mutex)
  br label %check
awake:
  %after = atomicrmw sub ptr %sleepers.at, i32 1 seq_cst, align 4
  %s2 = call i32 @pthread_mutex_unlock(ptr %mutex)
  ret void
}

; Wakes the sleeping workers; never blocks.
define internal void @bough_team_wake(ptr %team) nounwind {
entry:
  %mutex = getelementptr %bough.team, ptr %team, i64 0, i32 24
  %condition = getelementptr %bough.team, ptr %team, i64 0, i32 25
  %wakes.at = getelementptr %bough.team, ptr %team, i64 0, i32 15
  %s0 = atomicrmw add ptr %wakes.at, i32 1 seq_cst, align 4
  %held = call i32 @pthread_mutex_trylock(ptr %mutex)
  %s1 = call i32 @pthread_cond_broadcast(ptr %condition)
  %mine = icmp eq i32 %held, 0
  br i1 %mine, label %unlock, label %done
unlock:
  %s2 = call i32 @pthread_mutex_unlock(ptr %mutex)
  br label %done
done:
  ret void
}

; Works until the team is stopped: looks at its ticket for a bounded time after the last phase, then sleeps.
define internal void @bough_team_work(ptr %team, ptr %slot, i64 %self) nounwind {
entry:
  %spin.at = getelementptr %bough.team, ptr %team, i64 0, i32 1
  %spin = load i64, ptr %spin.at
  %prompt = shl i64 %spin, 2
  %patience = mul i64 %spin, 20
  %stop.at = getelementptr %bough.team, ptr %team, i64 0, i32 16
  %expected.at = getelementptr %bough.team, ptr %team, i64 0, i32 17
  br label %watch
watch:
  %epoch = phi i64 [ 0, %entry ], [ %epoch, %sleep ], [ %current, %work ]
  %usual = phi i64 [ %spin, %entry ], [ %adapted, %sleep ], [ %usual, %work ]
  %since = call i64 @bough_team_clock()
  br label %look
look:
  %turns = phi i32 [ 0, %watch ], [ %turns.next, %rest ], [ 0, %timed ]
  %ticket = load atomic i64, ptr %slot acquire, align 8
  %current = lshr i64 %ticket, 32
  %changed = icmp ne i64 %current, %epoch
  br i1 %changed, label %work, label %unchanged
work:
  ; What the phase's function reads first comes while the chunk is claimed.
  %frame.at = getelementptr %bough.slot, ptr %slot, i64 0, i32 2
  %frame = load atomic ptr, ptr %frame.at monotonic, align 8
  call void @llvm.prefetch.p0(ptr %frame, i32 0, i32 3, i32 1)
  call void @bough_team_drain(ptr %team, i64 %self)
  call void @bough_team_help(ptr %team, i64 %self)
  br label %watch
unchanged:
  %stop = load atomic i32, ptr %stop.at acquire, align 4
  %stopped = icmp ne i32 %stop, 0
  br i1 %stopped, label %done, label %count
count:
  %turns.next = add i32 %turns, 1
  %many = icmp uge i32 %turns.next, 32
  br i1 %many, label %timed, label %rest
rest:
  call void @bough_team_pause()
  br label %look
timed:
  %now = call i64 @bough_team_clock()
  %waited = sub i64 %now, %since
  %expected = load atomic i32, ptr %expected.at monotonic, align 4
  %soon = icmp ne i32 %expected, 0
  %limit = select i1 %soon, i64 %patience, i64 %usual
  %long = icmp uge i64 %waited, %limit
  br i1 %long, label %sleep, label %look
sleep:
  call void @bough_team_sleep(ptr %team, ptr %slot, i64 %epoch)
  %awake = call i64 @bough_team_clock()
  %idle = sub i64 %awake, %since
  %early = icmp ult i64 %idle, %prompt
  %adapted = select i1 %early, i64 %prompt, i64 %spin
  br label %watch
done:
  ret void
}

define internal ptr @bough_team_thread(ptr %slot) nounwind {
  %team.at = getelementptr %bough.slot, ptr %slot, i64 0, i32 7
  %team = load ptr, ptr %team.at
  %self.at = getelementptr %bough.slot, ptr %slot, i64 0, i32 8
  %self = load i64, ptr %self.at
  call void @bough_team_work(ptr %team, ptr %slot, i64 %self)
  ret ptr null
}

; ----------------------------------------------------------------------------------------------------------------- caller

define internal void @bough_team_stop(ptr %team) nounwind {
  %stop.at = getelementptr %bough.team, ptr %team, i64 0, i32 16
  store atomic i32 1, ptr %stop.at seq_cst, align 4
  fence seq_cst
  %sleepers.at = getelementptr %bough.team, ptr %team, i64 0, i32 14
  %sleepers = load atomic i32, ptr %sleepers.at seq_cst, align 4
  %some = icmp ne i32 %sleepers, 0
  br i1 %some, label %wake, label %done
wake:
  %mutex = getelementptr %bough.team, ptr %team, i64 0, i32 24
  %condition = getelementptr %bough.team, ptr %team, i64 0, i32 25
  %s0 = call i32 @pthread_mutex_lock(ptr %mutex)
  %s1 = call i32 @pthread_cond_broadcast(ptr %condition)
  %s2 = call i32 @pthread_mutex_unlock(ptr %mutex)
  br label %done
done:
  ret void
}

; Waits until every chunk is reported: looks for a bounded time, then sleeps, so that an idle core can take the worker.
define internal void @bough_team_join(ptr %team, i64 %epoch, i64 %chunks) nounwind {
entry:
  %ready = call i1 @bough_team_over(ptr %team, i64 %epoch, i64 %chunks)
  br i1 %ready, label %done, label %begin
begin:
  %spin.at = getelementptr %bough.team, ptr %team, i64 0, i32 1
  %spin = load i64, ptr %spin.at
  %since = call i64 @bough_team_clock()
  br label %look
look:
  %turns = phi i32 [ 0, %begin ], [ %turns.next, %count ], [ 0, %timed ]
  call void @bough_team_pause()
  %finished = call i1 @bough_team_over(ptr %team, i64 %epoch, i64 %chunks)
  br i1 %finished, label %done, label %count
count:
  %turns.next = add i32 %turns, 1
  %many = icmp uge i32 %turns.next, 32
  br i1 %many, label %timed, label %look
timed:
  %now = call i64 @bough_team_clock()
  %waited = sub i64 %now, %since
  %long = icmp uge i64 %waited, %spin
  br i1 %long, label %sleep, label %look
sleep:
  %mutex = getelementptr %bough.team, ptr %team, i64 0, i32 26
  %condition = getelementptr %bough.team, ptr %team, i64 0, i32 27
  %asleep.at = getelementptr %bough.team, ptr %team, i64 0, i32 12
  %s0 = call i32 @pthread_mutex_lock(ptr %mutex)
  store atomic i32 1, ptr %asleep.at seq_cst, align 4
  fence seq_cst
  br label %check
check:
  %over = call i1 @bough_team_over(ptr %team, i64 %epoch, i64 %chunks)
  br i1 %over, label %awake, label %wait
wait:
  %s1 = call i32 @pthread_cond_wait(ptr %condition, ptr %mutex)
  br label %check
awake:
  store atomic i32 0, ptr %asleep.at monotonic, align 4
  %s2 = call i32 @pthread_mutex_unlock(ptr %mutex)
  br label %done
done:
  ret void
}

define void @bough_team_parallel(ptr %team, ptr %fn, ptr %frame, i64 %n) nounwind {
entry:
  %some = icmp sgt i64 %n, 0
  br i1 %some, label %choose, label %done
choose:
  %alone = icmp eq ptr %team, null
  %single = icmp eq i64 %n, 1
  %serial = or i1 %alone, %single
  br i1 %serial, label %one, label %phase
one:
  %i = phi i64 [ 0, %choose ], [ %i.next, %one ]
  call void %fn(ptr %frame, i64 %i)
  %i.next = add i64 %i, 1
  %more = icmp ult i64 %i.next, %n
  br i1 %more, label %one, label %done
phase:
  %threads = load i64, ptr %team
  %limit = mul i64 %threads, 65535
  %large = icmp ugt i64 %n, %limit
  br i1 %large, label %grouped, label %divide
grouped:
  %n.less = sub i64 %n, 1
  %size.less = udiv i64 %n.less, %limit
  %size.large = add i64 %size.less, 1
  %chunks.less = udiv i64 %n.less, %size.large
  %chunks.large = add i64 %chunks.less, 1
  br label %divide
divide:
  %size = phi i64 [ 1, %phase ], [ %size.large, %grouped ]
  %chunks = phi i64 [ %n, %phase ], [ %chunks.large, %grouped ]
  %chunks32 = trunc i64 %chunks to i32
  %threads32 = trunc i64 %threads to i32
  %share32 = udiv i32 %chunks32, %threads32
  %even32 = mul i32 %share32, %threads32
  %extra32 = sub i32 %chunks32, %even32
  %share = zext i32 %share32 to i64
  %extra = zext i32 %extra32 to i64
  %epoch.at = getelementptr %bough.team, ptr %team, i64 0, i32 8
  %epoch.before = load i64, ptr %epoch.at
  %epoch.next = add i64 %epoch.before, 1
  %epoch = and i64 %epoch.next, 4294967295
  store i64 %epoch, ptr %epoch.at
  %tag = shl i64 %epoch, 32
  %left.at = getelementptr %bough.team, ptr %team, i64 0, i32 10
  store atomic i32 %chunks32, ptr %left.at monotonic, align 4
  %slots.at = getelementptr %bough.team, ptr %team, i64 0, i32 2
  %slots = load ptr, ptr %slots.at
  br label %publish
publish:
  ; The workers' slots first, the caller's own last.
  %above = phi i64 [ %threads, %divide ], [ %t, %publish ]
  %t = sub i64 %above, 1
  %part = call i64 @bough_team_part(ptr %team, i64 %t)
  %longer = icmp ult i64 %part, %extra
  %bonus = zext i1 %longer to i64
  %end = add i64 %share, %bonus
  %ticket = or i64 %tag, %end
  %shares = mul i64 %part, %share
  %extras = select i1 %longer, i64 %part, i64 %extra
  %base = add i64 %shares, %extras
  %slot = getelementptr %bough.slot, ptr %slots, i64 %t
  %fn.at = getelementptr %bough.slot, ptr %slot, i64 0, i32 1
  store ptr %fn, ptr %fn.at
  %frame.at = getelementptr %bough.slot, ptr %slot, i64 0, i32 2
  store atomic ptr %frame, ptr %frame.at monotonic, align 8
  %n.at = getelementptr %bough.slot, ptr %slot, i64 0, i32 3
  store i64 %n, ptr %n.at
  %size.at = getelementptr %bough.slot, ptr %slot, i64 0, i32 4
  store i64 %size, ptr %size.at
  %base.at = getelementptr %bough.slot, ptr %slot, i64 0, i32 5
  store i64 %base, ptr %base.at
  store atomic i64 %ticket, ptr %slot release, align 8
  %others = icmp ne i64 %t, 0
  br i1 %others, label %publish, label %published
published:
  fence seq_cst
  %sleepers.at = getelementptr %bough.team, ptr %team, i64 0, i32 14
  %sleepers = load atomic i32, ptr %sleepers.at monotonic, align 4
  %asleep = icmp ne i32 %sleepers, 0
  br i1 %asleep, label %wake, label %work
wake:
  call void @bough_team_wake(ptr %team)
  br label %work
work:
  call void @bough_team_drain(ptr %team, i64 0)
  call void @bough_team_help(ptr %team, i64 0)
  call void @bough_team_join(ptr %team, i64 %epoch, i64 %chunks)
  br label %done
done:
  ret void
}

; A member of an OpenMP team: number 0 runs the host program, the others work until it has ended.
define internal void @bough_team_member(ptr %team) nounwind {
entry:
  %number.at = getelementptr %bough.team, ptr %team, i64 0, i32 4
  %number.of = load ptr, ptr %number.at
  %number = call i32 %number.of()
  %self = zext i32 %number to i64
  %host = icmp eq i64 %self, 0
  br i1 %host, label %lead, label %follow
lead:
  %entry.at = getelementptr %bough.team, ptr %team, i64 0, i32 19
  %function = load ptr, ptr %entry.at
  %buffers.at = getelementptr %bough.team, ptr %team, i64 0, i32 20
  %buffers = load ptr, ptr %buffers.at
  %scalars.at = getelementptr %bough.team, ptr %team, i64 0, i32 21
  %scalars = load ptr, ptr %scalars.at
  %status = call i32 %function(ptr %buffers, ptr %scalars, ptr %team)
  %status.at = getelementptr %bough.team, ptr %team, i64 0, i32 22
  store i32 %status, ptr %status.at
  call void @bough_team_stop(ptr %team)
  br label %done
follow:
  %threads = load i64, ptr %team
  %known = icmp ult i64 %self, %threads
  br i1 %known, label %work, label %done
work:
  %slots.at = getelementptr %bough.team, ptr %team, i64 0, i32 2
  %slots = load ptr, ptr %slots.at
  %slot = getelementptr %bough.slot, ptr %slots, i64 %self
  call void @bough_team_work(ptr %team, ptr %slot, i64 %self)
  br label %done
done:
  ret void
}

define void @bough_team_expect(ptr %team) nounwind {
entry:
  %alone = icmp eq ptr %team, null
  br i1 %alone, label %done, label %note
note:
  %expected.at = getelementptr %bough.team, ptr %team, i64 0, i32 17
  store atomic i32 1, ptr %expected.at monotonic, align 4
  %sleepers.at = getelementptr %bough.team, ptr %team, i64 0, i32 14
  %sleepers = load atomic i32, ptr %sleepers.at monotonic, align 4
  %asleep = icmp ne i32 %sleepers, 0
  br i1 %asleep, label %wake, label %done
wake:
  call void @bough_team_wake(ptr %team)
  br label %done
done:
  ret void
}

define i32 @bough_team_run(ptr %team, ptr %function, ptr %buffers, ptr %scalars) nounwind {
entry:
  %alone = icmp eq ptr %team, null
  br i1 %alone, label %serial, label %try
try:
  %busy.at = getelementptr %bough.team, ptr %team, i64 0, i32 6
  %busy = atomicrmw xchg ptr %busy.at, i32 1 acquire, align 4
  %taken = icmp ne i32 %busy, 0
  br i1 %taken, label %serial, label %enter
serial:
  %status.serial = call i32 %function(ptr %buffers, ptr %scalars, ptr null)
  ret i32 %status.serial
enter:
  %expected.at = getelementptr %bough.team, ptr %team, i64 0, i32 17
  store atomic i32 0, ptr %expected.at monotonic, align 4
  %openmp.at = getelementptr %bough.team, ptr %team, i64 0, i32 3
  %openmp = load ptr, ptr %openmp.at
  %own = icmp eq ptr %openmp, null
  br i1 %own, label %ours, label %theirs
ours:
  %sleepers.at = getelementptr %bough.team, ptr %team, i64 0, i32 14
  %sleepers = load atomic i32, ptr %sleepers.at monotonic, align 4
  %asleep = icmp ne i32 %sleepers, 0
  br i1 %asleep, label %wake, label %call
wake:
  call void @bough_team_wake(ptr %team)
  br label %call
call:
  %status.ours = call i32 %function(ptr %buffers, ptr %scalars, ptr %team)
  br label %leave
theirs:
  %entry.at = getelementptr %bough.team, ptr %team, i64 0, i32 19
  store ptr %function, ptr %entry.at
  %buffers.at = getelementptr %bough.team, ptr %team, i64 0, i32 20
  store ptr %buffers, ptr %buffers.at
  %scalars.at = getelementptr %bough.team, ptr %team, i64 0, i32 21
  store ptr %scalars, ptr %scalars.at
  %stop.at = getelementptr %bough.team, ptr %team, i64 0, i32 16
  store atomic i32 0, ptr %stop.at monotonic, align 4
  %threads = load i64, ptr %team
  %threads32 = trunc i64 %threads to i32
  call void %openmp(ptr @bough_team_member, ptr %team, i32 %threads32, i32 0)
  %status.at = getelementptr %bough.team, ptr %team, i64 0, i32 22
  %status.theirs = load i32, ptr %status.at
  br label %leave
leave:
  %status = phi i32 [ %status.ours, %call ], [ %status.theirs, %theirs ]
  store atomic i32 0, ptr %busy.at release, align 4
  ret i32 %status
}
