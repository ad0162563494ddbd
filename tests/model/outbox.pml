/* One execution from its commit to its end: client, two dispatchers, Temporal, a runner, the reconciler, a person who
 * may start it over, and a nemesis with finite budgets. Every guarded write is one atomic step; between two steps
 * anything may happen. Run by check.sh, which also removes one ingredient at a time:
 *
 *   -DONESHOT       the dispatcher dials once, and never comes back
 *   -DALLOW_DUP     Temporal starts a closed workflow id again (ALLOW_DUPLICATE instead of REJECT_DUPLICATE)
 *   -DNOCLAIM       a run has effects without asking the server first
 *   -DNOAUDIT       nobody compares rows with Temporal
 *   -DMARKFIRST     the row is marked submitted before Temporal was asked
 *   -DREDO          a row IN_PROGRESS without a workflow is put back into the queue, in the same epoch
 *   -DBLIND         the reconciler takes an unreachable Temporal for an empty one
 *   -DREPORTLAST    the activity completes at Temporal before its outcome is reported
 *   -DNOEPOCH       claims and reports do not name their epoch
 */
#define NONE 0
#define PENDING 1
#define PROGRESS 2
#define ENDED 3

/* the row */
byte phase = NONE; byte epoch = 1; byte claimed = 0; bool moved = false;
bool submitted = false; bool attention = false; bool acked = false;
/* Temporal: the workflow of each epoch is 0 absent, 1 open, 2 closed; rid is its run */
bool up = true; byte wf[3]; byte rid[3]; byte runs = 0;
/* what really happened: the first run with effects in each epoch, whether another one followed, and other sins */
byte effect[3]; bool twice = false; bool blindly = false; bool silent = false; bool mixed = false;
/* what may still go wrong */
byte crashes = 1, drops = 1, wipes = 1, downs = 1, overs = 1;

active proctype Client() {
  atomic { phase = PENDING; if :: acked = true :: skip fi }   /* one commit, on disk; the answer may not arrive */
}

/* A server that dies before the request is a lost request; one that dies before the mark is a lost reply. */
proctype Dispatcher() { byte e; bool ok;
end_idle:
  do
  :: atomic { phase == PENDING && !submitted && !attention -> e = epoch;
#ifdef MARKFIRST
              submitted = true; moved = true
#endif
     };
     atomic { ok = false;
       if :: !up
          :: up && drops > 0 -> drops--                              /* the request is lost */
          :: up ->
             if :: wf[e] == 1 -> ok = true                           /* USE_EXISTING */
#ifndef ALLOW_DUP
                :: wf[e] == 2 -> ok = true                           /* REJECT_DUPLICATE: the run that was */
                :: wf[e] == 0 -> wf[e] = 1; runs++; rid[e] = runs; ok = true
#else
                :: wf[e] != 1 -> wf[e] = 1; runs++; rid[e] = runs; ok = true
#endif
             fi;
             if :: drops > 0 -> drops--; ok = false :: skip fi       /* the reply is lost */
       fi };
     atomic { if :: ok && !submitted && epoch == e && (phase == PENDING || phase == PROGRESS) ->
                    submitted = true; attention = false; moved = true
                 :: else fi; e = 0; ok = false };
#ifdef ONESHOT
     break
#endif
  od
}

active proctype Runner() { byte e, mine; bool won;
again:
end_idle:
  do
  :: atomic { up && (wf[1] == 1 || wf[2] == 1) -> if :: wf[1] == 1 -> e = 1 :: wf[2] == 1 -> e = 2 fi; mine = rid[e] };
     /* The claim may reach the server long after Temporal has forgotten who sends it. */
#ifdef NOCLAIM
     atomic { won = (phase == PENDING || phase == PROGRESS) && epoch == e;
              if :: won && phase == PENDING -> phase = PROGRESS; submitted = true; moved = true :: else fi };
#else
     atomic {
#ifdef NOEPOCH
       if :: phase == PENDING && claimed == 0 ->
#else
       if :: phase == PENDING && claimed == 0 && epoch == e ->
#endif
             claimed = mine; phase = PROGRESS; submitted = true; attention = false; moved = true
          :: else fi;
       won = (claimed == mine && phase == PROGRESS) };
#endif
     if :: atomic { crashes > 0 -> crashes--; won = false }; goto again :: skip fi;
     atomic {
       if :: won && wf[e] == 1 && rid[e] == mine ->                  /* Temporal hands out the next activity */
             if :: effect[e] == 0 -> effect[e] = mine :: effect[e] == mine :: else -> twice = true fi
          :: won && (wf[e] != 1 || rid[e] != mine) -> won = false; goto again
          :: else fi };
     if :: atomic { crashes > 0 -> crashes-- }; goto again :: skip fi;
#ifdef REPORTLAST
     atomic { if :: up && wf[e] == 1 && rid[e] == mine -> wf[e] = 2 :: else -> goto again fi };
     if :: atomic { crashes > 0 -> crashes--;
                    silent = silent || (won && phase == PROGRESS && epoch == e) }; goto again
        :: skip fi;
#endif
     atomic {
#ifdef NOEPOCH
       if :: won && phase == PROGRESS -> mixed = mixed || epoch != e;
#elif defined(NOCLAIM)
       if :: won && phase == PROGRESS && epoch == e ->
#else
       if :: won && phase == PROGRESS && epoch == e && claimed == mine ->
#endif
             phase = ENDED; attention = false; moved = true
          :: else fi };
     if :: atomic { crashes > 0 -> crashes-- }; goto again :: skip fi;
#ifndef REPORTLAST
     /* A completion that meets an outage is dropped: the workflow stays open, and the next attempt finds the outcome. */
     atomic { if :: up && wf[e] == 1 && rid[e] == mine ->
                    wf[e] = 2; silent = silent || (won && phase == PROGRESS && epoch == e && claimed == mine)
                 :: else fi }
#endif
  od
}

active proctype Reconciler() { byte e, was, seen; bool blind;
end_idle:
  do
#ifdef NOAUDIT
  :: false
#else
#ifdef BLIND
  :: atomic { submitted && !attention && (phase == PENDING || phase == PROGRESS) && (!up || wf[epoch] != 1) ->
              e = epoch; moved = false; was = phase; blind = !up; seen = (up -> wf[e] : 0) };
#else
  :: atomic { submitted && !attention && (phase == PENDING || phase == PROGRESS) && up && wf[epoch] != 1 ->
              e = epoch; moved = false; was = phase; blind = false; seen = wf[e] };
#endif
     atomic {
       if :: moved                                                   /* its version is another one: somebody knew better */
          :: else ->
             if :: was == PENDING && seen == 0 ->
                   submitted = false; moved = true; blindly = blindly || blind
#ifdef REDO
                :: was == PROGRESS && seen == 0 -> phase = PENDING; submitted = false; claimed = 0; moved = true
#else
                :: was == PROGRESS && seen == 0 -> attention = true; moved = true
#endif
                :: seen == 2 -> attention = true; moved = true          /* closed, and no outcome was reported */
                :: else fi
       fi; e = 0; was = 0; seen = 0; blind = false }
#endif
  od
}

active proctype Person() {
end_idle:
  do
  :: atomic { attention && phase == PROGRESS && overs > 0 ->
       overs--; epoch++; claimed = 0; phase = PENDING; submitted = false; attention = false; moved = true }
  od
}

active proctype Nemesis() {
end_idle:
  do
  :: atomic { wipes > 0 -> wipes--; wf[1] = 0; wf[2] = 0 }            /* emptied */
  :: atomic { wipes > 0 && wf[1] == 2 -> wipes--; wf[1] = 0 }         /* retention */
  :: atomic { downs > 0 -> downs--; up = false }; up = true
  :: break
  od
}

init { atomic { run Dispatcher();
#ifndef ONESHOT
  run Dispatcher()
#endif
} }

#define settled (submitted || phase == ENDED || attention)
#define over (phase == ENDED || attention)
ltl once { [] !twice }                              /* I1: at most one run has effects in an epoch */
ltl earned { [] ((phase == ENDED) -> (effect[1] != 0 || effect[2] != 0)) }
ltl kept { [] (acked -> (phase != NONE)) }          /* I3: acknowledged means that the row stays */
ltl sighted { [] !blindly }                         /* I6: nothing is resubmitted on what was not seen */
ltl told { [] !silent }                             /* a run never completes before its outcome is told */
ltl apart { [] !mixed }                             /* an old epoch's report never ends a new epoch */
ltl leaves { [] (acked -> <> settled) }             /* L1: it leaves the queue */
ltl ends { [] (acked -> <> over) }                  /* L2: it ends, or is shown */
