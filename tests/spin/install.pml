/* How the control plane's batches reach the dataplane's tables (docs/protocol.md, "Contract"): attach, dump, batch,
 * commit, ack, with either process dying at any step, a control plane that comes back, batches that are late.
 *
 * The network is two versions, 1 and 2: a link, a rule that leads to it and a destination that leads to the rule. One
 * of them is wanted. What two processes share are the rings' slots and positions, of which each side keeps copies of
 * its own, and whether the socket is open. A packet is looked up once, at any time.
 *
 * Each name that is tested with #ifdef is a way to do it wrong; check.py shows that each of them is found out. */

#ifndef DEATHS
#define DEATHS 2 /* of either process, in sum */
#endif
#define CAPACITY 2
#define AHEAD(tail, head) ((tail - head) & 7) /* positions count modulo 8 */

mtype = { nothing, begin, put_link, put_rule, put_destination, delete_rule, delete_link, commit, dump,
          row_link, row_rule, row_destination, dump_end, ack };

typedef Message {
  mtype verb = nothing;
  byte value;   /* begin, ack: generation; commit: count; else the version it is about */
  byte fence;   /* begin */
  byte boot;    /* begin */
  bool refused; /* ack */
};
typedef Ring {
  byte tail, head;
  Message slot[CAPACITY]
};
Ring down, up; /* of the attachment: fresh memory for each, a former owner's mapping reaches another */

/* The socket: closed, open, or its control plane went and the dataplane has not seen it yet. */
mtype = { closed, open, half };
mtype socket = closed;
bool calling;              /* a control plane waits for the socket */
byte given_fence, given_boot; /* what the dataplane answered it */

/* The dataplane's tables. A rule's entry names the link it leads to. */
bool links[3];
byte rules[3];
byte destination;
/* The same as the last whole batch left them, and whether one is being applied right now. */
bool whole_links[3];
byte whole_rules[3], whole_destination;
bool applying;
byte boot = 1, fence;

byte wanted = 1;
bool control_dies, data_dies;
bool looking; /* a packet is between two of its look-ups */
byte stale_fence, stale_boot; /* of an attachment that is over */
#ifndef FAULTS
#define FAULTS true /* one batch that is late, one that does not fit */
#endif
bool may_be_late = FAULTS, may_be_wrong = FAULTS;

#define TABLES_ARE(v) (destination == v && links[v] && rules[v] == v && !links[3 - v] && !rules[3 - v])

inline clear(message) {
  message.verb = nothing; message.value = 0; message.fence = 0; message.boot = 0; message.refused = false
}
inline clear_ring(ring) {
  ring.tail = 0; ring.head = 0; clear(ring.slot[0]); clear(ring.slot[1])
}

/* --- the two ends of a ring, with their own copies of positions ----------------------------------------------------*/

#ifdef RING_OVERRUN
#define ROOM(ring, tail, known_head) true
#else
#define ROOM(ring, tail, known_head) (AHEAD(tail, known_head) < CAPACITY)
#endif

/* Waits for room; `gone` ends the wait. */
inline push(ring, tail_, known_head, gone, verb_, value_, fence_, boot_, refused_) {
  do
  :: ROOM(ring, tail_, known_head) -> break
  :: else ->
     if
     :: ring.head != known_head -> assert(AHEAD(tail_, ring.head) <= CAPACITY); known_head = ring.head
     :: gone -> break
     fi
  od;
  if
  :: ROOM(ring, tail_, known_head) ->
     d_step {
       ring.slot[tail_ % CAPACITY].verb = verb_;
       ring.slot[tail_ % CAPACITY].value = value_;
       ring.slot[tail_ % CAPACITY].fence = fence_;
       ring.slot[tail_ % CAPACITY].boot = boot_;
       ring.slot[tail_ % CAPACITY].refused = refused_
     };
     d_step { tail_ = (tail_ + 1) & 7; ring.tail = tail_ }
  :: else
  fi
}

/* There is something: taken out and wiped, then the slot is free. */
inline pop(ring, head_, message) {
  d_step {
    assert(AHEAD(ring.tail, head_) <= CAPACITY);
    message.verb = ring.slot[head_ % CAPACITY].verb;
    message.value = ring.slot[head_ % CAPACITY].value;
    message.fence = ring.slot[head_ % CAPACITY].fence;
    message.boot = ring.slot[head_ % CAPACITY].boot;
    message.refused = ring.slot[head_ % CAPACITY].refused;
    clear(ring.slot[head_ % CAPACITY]);
    head_ = (head_ + 1) & 7;
    ring.head = head_
  }
}

/* --- the dataplane -------------------------------------------------------------------------------------------------*/

#define LOST (socket != open)

inline wipe_batch() {
  batch_open = false; spoilt = false; count = 0;
  puts_link = 0; puts_rule = 0; puts_destination = 0; deletes_rule = 0; deletes_link = 0
}
inline attach() {
  d_step {
    socket == closed && calling;
    calling = false;
    socket = open;
    fence++;
    given_fence = fence; given_boot = boot;
    clear_ring(down); clear_ring(up);
    install_head = 0; ack_tail = 0; ack_head = 0
  }
}
inline detach() {
  d_step {
    socket == half;
    socket = closed;
    stale_fence = given_fence; stale_boot = given_boot;
    given_fence = 0; given_boot = 0;
    clear_ring(down); clear_ring(up);
    install_head = 0; ack_tail = 0; ack_head = 0; generation = 0;
#ifndef KEEP_OPEN_BATCH
    wipe_batch()
#endif
  }
}

/* Nothing that the batch puts leads to what is neither there nor in it, nothing goes that is still led to. */
#define HAS_LINK(v) ((links[v] || puts_link == v) && deletes_link != v)
#define HAS_RULE(v) ((rules[v] || puts_rule == v) && deletes_rule != v)
#define LEADS (puts_destination -> puts_destination : destination)
#define FITS ((puts_rule == 0 || HAS_LINK(puts_rule)) && (LEADS == 0 || HAS_RULE(LEADS)) && \
              (deletes_link == 0 || rules[deletes_link] == 0 || deletes_rule == deletes_link))

inline put_objects() {
  d_step { if :: puts_link -> links[puts_link] = true :: else fi };
  d_step { if :: puts_rule -> rules[puts_rule] = puts_rule :: else fi }
}
inline publish() {
  if
  :: puts_destination ->
     destination = puts_destination;
#ifndef NO_GRACE
     !looking /* every worker was quiescent */
#endif
  :: else
  fi
}
inline delete_objects() {
  d_step { if :: deletes_rule -> rules[deletes_rule] = 0 :: else fi };
  d_step { if :: deletes_link -> links[deletes_link] = false :: else fi }
}
inline apply() {
  d_step {
    assert(batch_fence == fence && batch_boot == boot); /* no batch of an attachment that is over */
    applying = true
  };
#ifdef PUBLISH_FIRST
  publish(); put_objects(); delete_objects();
#else
#ifdef DELETE_FIRST
  delete_objects(); put_objects(); publish();
#else
  put_objects(); publish(); delete_objects();
#endif
#endif
  d_step {
    whole_links[1] = links[1]; whole_links[2] = links[2];
    whole_rules[1] = rules[1]; whole_rules[2] = rules[2];
    whole_destination = destination;
    applying = false
  }
}

inline answer(refused_) {
  push(up, ack_tail, ack_head, LOST, ack, generation, 0, 0, refused_)
}
inline settle_batch() {
  if
  :: spoilt -> answer(true)
  :: !spoilt && message.value != count -> assert(false) /* the ring loses nothing */
#ifndef NO_CHECK
  :: !spoilt && message.value == count && !FITS -> answer(true)
  :: !spoilt && message.value == count && FITS ->
#else
  :: !spoilt && message.value == count ->
#endif
#ifdef ACK_FIRST
     answer(false); apply()
#else
     apply(); answer(false)
#endif
  fi;
  d_step { wipe_batch() }
}
inline row(present, verb_, value_) {
  if
  :: present -> push(up, ack_tail, ack_head, LOST, verb_, value_, 0, 0, false)
  :: else
  fi
}

proctype Dataplane() {
  byte install_head, ack_tail, ack_head; /* its own copies */
  Message message;
  /* The batch: versions, 0: none. */
  bool batch_open, spoilt;
  byte generation, count, batch_fence, batch_boot;
  byte puts_link, puts_rule, puts_destination, deletes_rule, deletes_link;
live:
  {
end_idle:
    do
    :: attach()
    :: detach()
    :: atomic { socket != closed && down.tail != install_head -> pop(down, install_head, message) };
       if
       :: message.verb == begin ->
          d_step {
            wipe_batch();
            batch_open = true;
            batch_fence = message.fence; batch_boot = message.boot;
            spoilt = (message.value <= generation);
#ifndef NO_FENCE_CHECK
            spoilt = (spoilt || message.fence != fence);
#endif
#ifndef NO_BOOT_CHECK
            spoilt = (spoilt || message.boot != boot);
#endif
            generation = message.value
          }
       :: message.verb == commit && batch_open -> settle_batch()
       :: message.verb == dump && !batch_open ->
          row(links[1], row_link, 1);
          row(links[2], row_link, 2);
          row(rules[1], row_rule, 1);
          row(rules[2], row_rule, 2);
          row(destination, row_destination, destination);
          push(up, ack_tail, ack_head, LOST, dump_end, 0, 0, 0, false)
       :: else ->
          d_step {
            assert(batch_open);
            count++;
            if
            :: message.verb == put_link -> puts_link = message.value
            :: message.verb == put_rule -> puts_rule = message.value
            :: message.verb == put_destination -> puts_destination = message.value
            :: message.verb == delete_rule -> deletes_rule = message.value
            :: message.verb == delete_link -> deletes_link = message.value
            :: else -> assert(message.verb == dump) /* of a batch that is still open, and no part of it */
            fi
          };
#ifdef PIECEWISE
          if
          :: !spoilt -> put_objects(); publish(); delete_objects()
          :: else
          fi
#endif
       fi;
       d_step { clear(message) }
    od
  } unless { data_dies };
  /* Its packets, tables and sockets die with it; the next one has another boot ID, and counts fences from the start. */
  d_step {
    data_dies = false;
    looking = false; applying = false;
    links[1] = false; links[2] = false; rules[1] = 0; rules[2] = 0; destination = 0;
    whole_links[1] = false; whole_links[2] = false; whole_rules[1] = 0; whole_rules[2] = 0; whole_destination = 0;
    if
    :: socket == open -> stale_fence = given_fence; stale_boot = given_boot
    :: else
    fi;
    socket = closed; given_fence = 0; given_boot = 0;
    clear_ring(down); clear_ring(up);
    install_head = 0; ack_tail = 0; ack_head = 0; generation = 0;
    wipe_batch(); batch_fence = 0; batch_boot = 0; clear(message);
    boot++; fence = 0
  };
  goto live
}

/* --- the control plane ---------------------------------------------------------------------------------------------*/

#define CUT !(socket == open && given_fence == my_fence && given_boot == my_boot)

inline forget() {
  install_tail = 0; known_install_head = 0; answers_head = 0; my_generation = 0; target = 0; sent = 0;
  stands_links[1] = false; stands_links[2] = false; stands_rules[1] = false; stands_rules[2] = false;
  stands_destination = 0
}
inline tell(verb_, value_, fence_, boot_) {
  push(down, install_tail, known_install_head, false, verb_, value_, fence_, boot_, false)
}
inline say(verb_, value_) {
  tell(verb_, value_, 0, 0);
  sent++
}
inline hear() {
  atomic { up.tail != answers_head; pop(up, answers_head, answer_) }
}

inline learn() {
  tell(dump, 0, 0, 0);
  do
  :: hear();
     if
     :: answer_.verb == row_link -> stands_links[answer_.value] = true
     :: answer_.verb == row_rule -> stands_rules[answer_.value] = true
     :: answer_.verb == row_destination -> stands_destination = answer_.value
     :: answer_.verb == dump_end -> break
     :: else -> assert(answer_.verb == ack) /* of a late batch */
     fi
  od
}

/* The difference between what stands and what is wanted; once, perhaps, with a rule that is left out by mistake. */
inline send_difference() {
  d_step { target = wanted; sent = 0; my_generation++ };
  tell(begin, my_generation, my_fence, my_boot);
  if :: !stands_links[target] -> say(put_link, target) :: else fi;
  if
  :: !stands_rules[target] && may_be_wrong -> may_be_wrong = false
  :: !stands_rules[target] -> say(put_rule, target)
  :: else
  fi;
  if :: stands_destination != target -> say(put_destination, target) :: else fi;
  if :: stands_rules[3 - target] -> say(delete_rule, 3 - target) :: else fi;
  if :: stands_links[3 - target] -> say(delete_link, 3 - target) :: else fi;
  tell(commit, sent, 0, 0)
}
inline await_ack() {
  do
  :: hear();
     if
     :: answer_.verb == ack && answer_.value == my_generation -> break
     :: else -> assert(answer_.verb == ack)
     fi
  od;
  if
#ifndef GIVE_UP
  :: answer_.refused
#else
  :: answer_.refused ->
end_gave_up:
     false
#endif
  :: else ->
     /* It works, all of it, unless the dataplane died since. */
     d_step {
       assert(CUT || TABLES_ARE(target));
       stands_links[target] = true; stands_rules[target] = true; stands_destination = target;
       stands_links[3 - target] = false; stands_rules[3 - target] = false
     }
  fi
}
/* A batch that was made for an attachment that is over comes into this one. */
inline be_late() {
  if
  :: may_be_late && stale_boot ->
     may_be_late = false;
     tell(begin, 1, stale_fence, stale_boot);
     tell(put_link, 1, 0, 0);
     tell(put_link, 2, 0, 0);
     tell(commit, 2, 0, 0)
  :: true
  fi
}

proctype Controlplane() {
  byte install_tail, known_install_head, answers_head; /* its own copies */
  byte my_fence, my_boot, my_generation;
  bool stands_links[3], stands_rules[3]; /* what it knows to stand */
  byte stands_destination, target, sent;
  Message answer_;
live:
  {
    do
    :: calling = true;
       if
       :: !calling && socket == open
       :: !calling && socket != open -> goto live /* the dataplane died between */
       fi;
       d_step { forget(); my_fence = given_fence; my_boot = given_boot };
       {
#ifdef NO_ADOPTION
         skip;
#else
         learn();
#endif
         be_late();
end_satisfied:
         do
         :: !(stands_destination == wanted && stands_links[wanted] && stands_rules[wanted] &&
              !stands_links[3 - wanted] && !stands_rules[3 - wanted]) ->
            send_difference();
            await_ack();
            d_step { target = 0; sent = 0; clear(answer_) }
         od
       } unless { CUT };
       d_step { forget(); my_fence = 0; my_boot = 0; clear(answer_) }
    od
  } unless { control_dies };
  d_step {
    control_dies = false;
    calling = false;
    if
    :: socket == open -> socket = half
    :: else
    fi;
    forget(); my_fence = 0; my_boot = 0; clear(answer_)
  };
  goto live
}

/* --- a packet, chance ----------------------------------------------------------------------------------------------*/

/* Looks destination, rule and link up; what one of them leads to must be there. */
proctype Packet() {
  byte born, to, by;
  atomic {
    born = boot;
    to = destination;
    assert(applying || (to == whole_destination && links[1] == whole_links[1] && links[2] == whole_links[2] &&
                        rules[1] == whole_rules[1] && rules[2] == whole_rules[2]));
    looking = (to != 0)
  };
  if
  :: to == 0
  :: else ->
     atomic {
       if
       :: boot != born
       :: else -> by = rules[to]; assert(by != 0)
       fi
     };
     atomic {
       if
       :: boot != born
       :: else -> assert(links[by]); looking = false
       fi
     }
  fi
}

proctype Fate() {
  byte deaths;
  do
  :: deaths < DEATHS && !control_dies -> deaths++; control_dies = true
  :: deaths < DEATHS && !data_dies -> deaths++; data_dies = true
  :: wanted == 1 -> wanted = 2
  :: break
  od
}

/* Spin with fairness passes over runs that end; with this one none does. */
proctype Time() {
  do
  :: true -> skip
  od
}

init {
  atomic {
    run Dataplane(); run Controlplane(); run Fate();
#ifndef NO_PACKET
    run Packet();
#endif
#ifdef TIME_PASSES
    run Time()
#endif
  }
}

ltl converges { <>[] TABLES_ARE(wanted) }
