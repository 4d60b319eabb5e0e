/**
 * Makes each worker that a program forks through node:cluster a replica, with balanced listening, and changes nothing
 * else of the program: what a supervisor does for its replicas, without restarts. For `node --require`, since --import
 * would load the program's own script in another way.
 */
'use strict';

const childProcess = require('node:child_process');
const Module = require('node:module');
const { join } = require('node:path');

const dist = join(__dirname, '..', '..', 'dist');
const preload = join(dist, 'replica', 'preload.js');

/** ms that a worker has for an orderly stop: as `supervise` gives. */
const SHUTDOWN = 5_000;

/** Whether the primary accepts, as with the option `sticky` of `supervise`. */
const isSticky = process.env.BALLERMANN_STICKY === '1';
const keyOf = ({ address = '' }) => address;

/** The process that cluster.fork has begun. */
let begun;

// node:cluster takes its own reference to this when it is loaded, which must not be sooner than the program wants it:
// it reads its scheduling policy out of the environment then.
const { fork } = childProcess;
childProcess.fork = (file, args, options) =>
  // node:cluster sets this variable, and the worker takes it out of its environment.
  options?.env?.NODE_UNIQUE_ID === undefined
    ? fork.call(childProcess, file, args, options)
    : forkReplica(file, args, options);

const { _load: load } = Module;
let isWrapped = false;
Module._load = function (request, ...rest) {
  const loaded = load.call(this, request, ...rest);
  if (!isWrapped && /^(node:)?cluster$/.test(request) && loaded.isPrimary) {
    isWrapped = true;
    wrap(loaded);
  }
  return loaded;
};

function wrap(cluster) {
  const { fork: forkWorker } = cluster;
  cluster.fork = function (env) {
    const worker = forkWorker.call(this, env);
    if (begun !== undefined) adopt(worker, begun);
    begun = undefined;
    return worker;
  };
}

function forkReplica(file, args, options) {
  const { ownSegment, takeSlots, giveSlotBack } = require(join(dist, 'primary', 'replicas', 'slots.js'));
  const { REPLICA_ENV } = require(join(dist, 'channel', 'environment.js'));
  const { segment, fd } = ownSegment();
  const [slot] = takeSlots(1);
  const { Lifeline } = require(join(dist, 'primary', 'replicas', 'lifeline.js'));
  const lifeline = new Lifeline();
  const stdio = stdioOf(options);
  const serialization = options.serialization ?? 'json';
  const env = {
    slot,
    fd: stdio.length,
    serialization,
    watchRss: false,
    waitReady: 'online',
    listen: 'balanced',
    sticky: isSticky,
    lifeline: stdio.length + 1,
    shutdown: SHUTDOWN,
    maxHeldRequests: 0,
    maxHoldTime: 0,
  };
  const child = fork.call(childProcess, file, args, {
    ...options,
    env: { ...options.env, [REPLICA_ENV]: JSON.stringify(env) },
    execArgv: ['--require', preload, ...(options.execArgv ?? process.execArgv)],
    stdio: [...stdio, fd, lifeline.fd],
  });
  lifeline.inherited();
  if (child.pid === undefined) {
    lifeline.cut();
    giveSlotBack(slot);
  } else begun = { segment, slot, serialization, lifeline };
  return child;
}

/** As child_process.fork fills it in. */
function stdioOf({ stdio, silent }) {
  if (Array.isArray(stdio)) return stdio;
  const each = stdio ?? (silent ? 'pipe' : 'inherit');
  return [each, each, each, 'ipc'];
}

/** As a supervisor does: one stands for all workers of this process. */
function adopt(worker, { segment, slot, serialization, lifeline }) {
  const { serve } = require(join(dist, 'primary', 'listening', 'listeners.js'));
  const { ReplicaProcess } = require(join(dist, 'primary', 'replicas', 'replica-process.js'));
  const { codecs } = require(join(dist, 'channel', 'codec.js'));
  serve({ worker, owner, place: slot, sticky: isSticky ? keyOf : undefined }, segment);
  const place = { segment, slot, incarnation: 1, codec: codecs[serialization], ...unlimited, lifeline };
  new ReplicaProcess(worker, place, owner, counters).readyWhenOnline();
}

const unlimited = {
  windows: 0,
  blockedAfter: Number.POSITIVE_INFINITY,
  maxQueueLength: Number.POSITIVE_INFINITY,
};
const counters = { late: 0, malformed: 0 };
const owner = {
  ready() {},
  exited({ slot }) {
    const { release } = require(join(dist, 'primary', 'listening', 'listeners.js'));
    const { giveSlotBack } = require(join(dist, 'primary', 'replicas', 'slots.js'));
    release(slot);
    giveSlotBack(slot);
  },
  leaving: (replica, reason) => void replica.stop(reason, SHUTDOWN),
  castFailed() {},
  dropped() {},
  requested() {},
  withdrawn() {},
};
