/* The journal of one execution with two steps, of which the second must not take effect twice: two runners that die,
 * freeze and are overtaken, a Temporal that forgets, a reconciler, a person who decides, and a new definition under a
 * run. Every guarded write is one atomic step; between two steps anything may happen. Run by check.sh, which also
 * removes one ingredient at a time:
 *
 *   -DNOUNKNOWN     a step that another attempt began is given away, whatever its effect is
 *   -DNOEPOCH       begin and finish do not name their epoch
 *   -DNOHASH        a recorded result is taken without comparing inputs
 *   -DNOBEGIN       a runner acts before it says so
 *   -DNONONCE       a step ends by the word of any attempt
 *   -DFORGETS       a resume keeps no journal
 *   -DBLIND         the reconciler does not ask whether a step is in the air, and resumes
 *   -DDECIDESTWICE  a decision to repeat a step stays, and is followed again in the next epoch
 */
#define PENDING 1
#define PROGRESS 2
#define ENDED 3
#define REPEATABLE 0
#define ONCE 1
#define STEPS 2
#define ABSENT 0
#define BEGUN 1
#define DONE 2
#define UNKNOWN 3
#define SKIPPED 4
#define EPOCHS 4

/* the row: `last` is the attempt of each epoch that counts; attempts are numbered over all epochs */
byte phase = PENDING; byte epoch = 1; byte last[EPOCHS]; bool attention = false;
/* the journal: who began a step, with which input, and of whom the recorded result is */
byte state[STEPS]; byte holder[STEPS]; byte input[STEPS]; byte result[STEPS];
/* Temporal: the workflow of each epoch is 0 absent, 1 open, 2 closed; `out` is the attempt that it waits for */
byte wf[EPOCHS]; byte out[EPOCHS]; byte attempts = 0;
byte definition = 0;
/* what really happened, and what a person allowed */
byte effects[STEPS]; byte allowed = 1; bool repeats = false;
bool twice = false; bool robbed = false; bool mixed = false; bool unstable = false; bool needless = false;
/* what may still go wrong: so many deaths, losses of an answer, wipes of Temporal and attempts handed out too early */
#ifndef FAULTS
#define FAULTS 2
#endif
byte faults = FAULTS, decisions = 1, changes = 1;

#define in_the_air (state[ONCE] == BEGUN || state[ONCE] == UNKNOWN)
#ifdef NOEPOCH
#define counts (last[e] == me && phase == PROGRESS)
#else
#define counts (last[e] == me && e == epoch && phase == PROGRESS)
#endif
#define is_current(who) (who != 0 && last[epoch] == who)

active proctype Dispatcher() {
end_idle:
  do
  :: atomic { phase == PENDING && wf[epoch] == 0 -> wf[epoch] = 1 }
  od
}

proctype Runner() { byte e, me, s, its;
again:
  atomic { e = 0; me = 0; s = 0; its = 0 }
end_idle:
  atomic {                                             /* Temporal hands out an attempt, or one more too early */
    if :: wf[1] == 1 && (out[1] == 0 || faults > 0) -> e = 1
       :: wf[2] == 1 && (out[2] == 0 || faults > 0) -> e = 2
       :: wf[3] == 1 && (out[3] == 0 || faults > 0) -> e = 3
    fi;
    if :: out[e] != 0 -> faults-- :: else fi;
    attempts++; me = attempts; out[e] = me; its = definition };
  atomic {                                             /* it begins at the server: the attempt before counts no more */
    if :: e == epoch && phase != ENDED && !attention && me > last[e] -> phase = PROGRESS; last[e] = me
       :: else -> goto ended
    fi };
  do
  :: s == STEPS -> break
  :: s < STEPS ->
begin:
     atomic {
#ifdef NOBEGIN
       if :: state[s] == DONE || state[s] == SKIPPED -> goto recorded :: else -> goto act fi;
#endif
       if :: !counts -> goto ended
          :: counts && (state[s] == DONE || state[s] == SKIPPED) -> goto recorded
          :: counts && state[s] == BEGUN && holder[s] == me                          /* its own call, sent again */
#ifdef NOUNKNOWN
          :: counts && (state[s] == ABSENT || (state[s] == BEGUN && holder[s] != me)) ->
#else
          :: counts && (state[s] == ABSENT || (state[s] == BEGUN && holder[s] != me && s == REPEATABLE)) ->
#endif
               robbed = robbed || (state[s] == BEGUN && is_current(holder[s]));
               state[s] = BEGUN; holder[s] = me; input[s] = its
#ifndef NOUNKNOWN
          :: counts && s == ONCE && ((state[s] == BEGUN && holder[s] != me) || state[s] == UNKNOWN) ->
               robbed = robbed || (state[s] == BEGUN && is_current(holder[s]));
               state[s] = UNKNOWN; attention = true; goto ended                      /* parked */
#endif
       fi };
     if :: atomic { faults > 0 -> faults-- }; goto begin :: skip fi;                   /* the answer is lost */
     if :: atomic { faults > 0 -> faults-- }; goto dead :: skip fi;
act:
     atomic { effects[s]++; twice = twice || effects[ONCE] > allowed };
     if :: atomic { faults > 0 -> faults-- }; goto dead :: skip fi;
finish:
     atomic {
#ifdef NONONCE
       if :: true ->
               unstable = unstable || (state[s] == DONE && result[s] != me);
               robbed = robbed || (state[s] == BEGUN && holder[s] != me && is_current(holder[s]));
#elif defined(NOBEGIN)
       if :: !counts -> goto ended
          :: counts ->
#else
       if :: !counts -> goto ended
          :: counts && (holder[s] != me || state[s] == UNKNOWN || state[s] == SKIPPED) -> goto ended
          :: counts && holder[s] == me && (state[s] == BEGUN || state[s] == DONE) ->
#endif
               state[s] = DONE; holder[s] = me; input[s] = its; result[s] = me
       fi };
     if :: atomic { faults > 0 -> faults-- }; goto finish :: skip fi;
     goto next;
recorded:
     atomic {
#ifdef NOHASH
       mixed = mixed || (state[s] == DONE && input[s] != its)
#else
       if :: state[s] == DONE && input[s] != its -> attention = attention || counts; goto ended :: else fi
#endif
     };
next:
     s++
  od;
  atomic {
    if :: counts -> phase = ENDED :: else fi };
ended:
  atomic { if :: out[e] == me && wf[e] == 1 -> wf[e] = 2; out[e] = 0 :: else fi };   /* an outdated attempt ends nothing */
  goto again;
dead:
  atomic { if :: out[e] == me -> out[e] = 0 :: else fi };                            /* its heartbeats stay away */
  goto again
}

active proctype Reconciler() { bool air;
end_idle:
  do
  :: atomic { phase == PROGRESS && !attention && wf[epoch] == 0 -> air = in_the_air };
     atomic {                                          /* what it read may be older than what a living run wrote since */
       if :: phase == PROGRESS && !attention && wf[epoch] == 0 && epoch + 1 < EPOCHS ->
#ifdef DECIDESTWICE
               if :: air && repeats -> state[ONCE] = ABSENT :: air && !repeats -> attention = true; goto seen
                  :: else fi;
#elif !defined(BLIND)
               if :: air -> attention = true; goto seen :: else fi;
#endif
               epoch++; phase = PENDING;
#ifdef FORGETS
               state[REPEATABLE] = ABSENT; state[ONCE] = ABSENT;
#endif
               skip
          :: else
       fi;
seen:  air = false }
  :: atomic { phase == PROGRESS && !attention && wf[epoch] == 2 ->                   /* closed, and no outcome came */
              attention = true; needless = needless || !in_the_air }
  od
}

active proctype Person() {
end_idle:
  do
  :: atomic { attention && in_the_air && decisions > 0 && epoch + 1 < EPOCHS ->
       decisions--;
       if :: state[ONCE] = ABSENT; allowed++; repeats = true                         /* --repeat */
          :: state[ONCE] = SKIPPED                                                   /* --skip */
       fi;
       attention = false; epoch++; phase = PENDING }
  od
}

active proctype Nemesis() {
end_idle:
  do
  :: atomic { faults > 0 -> faults--; wf[1] = 0; wf[2] = 0; wf[3] = 0; out[1] = 0; out[2] = 0; out[3] = 0 }
  :: atomic { changes > 0 -> changes--; definition = 1 }
  :: break
  od
}

init { atomic { run Runner(); run Runner() } }

ltl once { [] !twice }                          /* never more often than a person allowed */
ltl done { [] ((phase == ENDED) -> (effects[REPEATABLE] > 0 && (effects[ONCE] > 0 || state[ONCE] == SKIPPED))) }
ltl fits { [] !mixed }                          /* no result is taken for that of another input */
ltl stays { [] !unstable }                      /* a recorded result never changes */
ltl own { [] !robbed }                          /* nobody takes a step from the attempt that counts */
ltl calm { [] !needless }                       /* a person is asked only where a step is in the air, or does not fit */
ltl ends { <> (phase == ENDED || attention) }
