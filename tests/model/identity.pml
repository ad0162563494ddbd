/* Who is talking to whom: two stores on one Temporal (the default), or two Temporals on one store (-DTEMPORALS). Each
 * store has one execution, a dispatcher, a reconciler and a runner of of own. Run by check.sh, which also removes one
 * ingredient at a time:
 *
 *   -DONEQUEUE      the task queue does not carry the store: any runner may take any workflow
 *   -DCOMPLETES     a runner whose server knows nothing of a workflow completes it, instead of failing it
 *   -DSAMEEPOCH     what was handed back is submitted again under the id of of closed workflow
 *   -DANYCLAIM      the claim does not look at the workflow: a stranger's may claim an execution
 *   -DNOREGISTRY    a server goes on any Temporal, whoever else has the store open
 */
#define PENDING 1
#define PROGRESS 2
#define ENDED 3

#ifndef TEMPORALS

#define EPOCHS 3
/* row, workflow of the current epoch (0 none, 1 open, 2 closed without an outcome), and who may be misled how often */
byte phase[2] = PENDING; byte epoch[2] = 1; bool submitted[2]; byte wf[2];
byte astray = 1;                                /* a task that reaches the other store's runner all the same */
byte thefts = 1; bool stolen = false; byte effects[2];

proctype Dispatcher(byte me) {
end_idle:
  do
  :: atomic { phase[me] == PENDING && !submitted[me] ->
       if :: wf[me] == 0 -> wf[me] = 1 :: else fi;          /* a closed workflow's id is not started again */
       submitted[me] = true }
  od
}

proctype Runner(byte me) { byte its;
end_idle:
  do
  :: atomic { wf[0] == 1 || wf[1] == 1 ->
#ifdef ONEQUEUE
       if :: wf[0] == 1 -> its = 0 :: wf[1] == 1 -> its = 1 fi };
#else
       if :: wf[me] == 1 -> its = me
          :: wf[1 - me] == 1 && astray > 0 -> astray--; its = 1 - me
          :: else -> goto end_idle
       fi };
#endif
     atomic {
       if :: wf[its] != 1 -> skip
          :: wf[its] == 1 && its == me ->                     /* its own: claim, effect, report, complete */
               if :: phase[its] == PENDING -> phase[its] = PROGRESS; effects[its]++; phase[its] = ENDED :: else fi;
               wf[its] = 2
          :: wf[its] == 1 && its != me ->                     /* not mine: nothing was done */
               wf[its] = 2
       fi }
  :: atomic { thefts > 0 && phase[me] == PENDING && submitted[me] -> thefts--;   /* a workflow under another id */
#ifdef ANYCLAIM
       phase[me] = ENDED; stolen = true
#endif
     }
  od
}

proctype Reconciler(byte me) {
end_idle:
  do
#ifndef COMPLETES
  :: atomic { phase[me] == PENDING && submitted[me] && wf[me] == 2 && epoch[me] < EPOCHS ->
       submitted[me] = false;
#ifndef SAMEEPOCH
       epoch[me]++; wf[me] = 0
#endif
     }
#endif
  :: false
  od
}

init { atomic { run Dispatcher(0); run Dispatcher(1); run Runner(0); run Runner(1); run Reconciler(0); run Reconciler(1) } }

ltl ends { [] ((phase[0] == PENDING || phase[1] == PENDING) -> <> (phase[0] == ENDED && phase[1] == ENDED)) }
ltl own { [] !stolen }                          /* only a run of of own workflow ever claims an execution */
ltl once { [] (effects[0] <= 1 && effects[1] <= 1) }

#else

/* One row; server n is on Temporal n. `alive` and `admitted` are what the registry knows. */
byte phase = PENDING; byte wf[2]; bool alive[2]; bool admitted[2]; bool lost = false; byte effects = 0;
byte deaths = 1; bool adopted = false; byte moves = 1;

proctype Server(byte me) {
end_idle:
  do
  :: atomic { !alive[me] -> alive[me] = true }
  :: atomic { alive[me] && !admitted[me] ->
#ifdef NOREGISTRY
       admitted[me] = true
#else
       if :: !(alive[1 - me] && admitted[1 - me]) -> admitted[me] = true
          :: else -> alive[me] = false                      /* refused: exit 3 */
       fi
#endif
     }
  :: atomic { admitted[me] && phase == PENDING && wf[0] == 0 && wf[1] == 0 -> wf[me] = 1 }        /* submit */
  :: atomic { admitted[me] && phase == PENDING && wf[me] == 1 -> phase = PROGRESS; effects++ }    /* of runner claims */
  :: atomic { admitted[me] && phase == PROGRESS && wf[me] == 1 -> wf[me] = 2; phase = ENDED }
  :: atomic { admitted[me] && phase == PROGRESS && wf[me] == 0 &&                                 /* reconcile: no such workflow */
              alive[1 - me] && admitted[1 - me] && wf[1 - me] == 1 -> lost = true }
  :: atomic { alive[me] && deaths > 0 -> deaths--; alive[me] = false; admitted[me] = false }
  od
}

init { atomic { run Server(0); run Server(1) } }

ltl spared { [] !lost }                         /* no run that a living server performs is ever called lost */

#endif
