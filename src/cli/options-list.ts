/**
 * The options of `ballermann run`: one list. The flags, their help and completion, the environment variables, the keys of a
 * configuration file and the table in docs/cli.md come from it.
 */

import type { BalancerOptions } from '../primary/pools/balancer-options.js';
import type { SupervisorOptions } from '../primary/supervision/supervisor-options.js';
import type { Flag, Flags } from './command.js';
import * as kinds from './values.js';

/** Of `supervise` and `balance`. */
type PackageOption = keyof SupervisorOptions | keyof BalancerOptions;

/** What `run` alone has. */
type OwnOption = 'watch' | 'watchPath' | 'config';

export interface Option {
  /** The flag without its `--`. */
  readonly name: string;
  readonly short?: string;
  /** What it sets, in `supervise`, `balance` and a configuration file. */
  readonly sets: PackageOption | OwnOption;
  /** A field of that option, where it is an object. */
  readonly field?: string;
  readonly kind: kinds.Kind;
  /** It may be given more than once; in its environment variable the values stand between blanks. */
  readonly isList?: boolean;
  /** For people. */
  readonly default: string;
  readonly help: string;
  readonly group: string;
}

const MAIN = 'Often used';
const HEALTH = 'When a replica is unwell';
const START = 'Starts and stops';
const TRAFFIC = 'Requests and calls';
const NODE = 'The script and its process';
const OPERATION = 'Operation';

/** In the order of --help. */
export const options: readonly Option[] = [
  {
    name: 'replicas',
    short: 'n',
    sets: 'replicas',
    kind: kinds.replicas,
    default: 'max',
    help: 'How many replicas; max is one for each core',
    group: MAIN,
  },
  {
    name: 'watch',
    short: 'w',
    sets: 'watch',
    kind: kinds.boolean,
    default: 'off',
    help: 'Reload when a source file changes, for development',
    group: MAIN,
  },
  {
    name: 'max-rss',
    sets: 'maxRss',
    kind: kinds.size,
    default: 'none',
    help: 'Replace a replica that has more memory than this, such as 512mb',
    group: MAIN,
  },
  {
    name: 'hang-timeout',
    sets: 'hangTimeout',
    kind: kinds.timeLimit,
    default: 'none',
    help: 'Kill and restart a replica whose event loop has stood still for this long, such as 30s',
    group: MAIN,
  },
  {
    name: 'log',
    sets: 'log',
    kind: kinds.oneOf('text', 'json', 'silent'),
    default: 'text',
    help: 'text: lines for people, on stderr. json: as pino writes, on stdout. silent: nothing',
    group: MAIN,
  },
  {
    name: 'name',
    sets: 'name',
    kind: kinds.name,
    default: "the script's file name",
    help: 'The name of the supervisor and of its pool: status, reload and stop find it by that',
    group: MAIN,
  },
  {
    name: 'config',
    short: 'c',
    sets: 'config',
    kind: kinds.file,
    default: 'ballermann.config.{js,mjs,ts}',
    help: 'The configuration file',
    group: MAIN,
  },
  {
    name: 'blocked-after',
    sets: 'blockedAfter',
    kind: kinds.timeLimit,
    default: '250ms',
    help: 'Send no new work to a replica whose event loop has stood still for this long',
    group: HEALTH,
  },
  {
    name: 'hang-reports',
    sets: 'hangReports',
    kind: kinds.folder,
    default: 'none',
    help: 'Where a hung replica writes a diagnostic report before it is killed',
    group: HEALTH,
  },
  {
    name: 'max-requests',
    sets: 'maxRequests',
    kind: kinds.limit,
    default: 'none',
    help: 'Replace a replica after so many requests and calls',
    group: HEALTH,
  },
  {
    name: 'max-age',
    sets: 'maxAge',
    kind: kinds.timeLimit,
    default: 'none',
    help: 'Replace a replica after this time, such as 12h',
    group: HEALTH,
  },
  {
    name: 'restart',
    sets: 'restart',
    kind: kinds.oneOf('permanent', 'transient', 'temporary'),
    default: 'permanent',
    help: 'Restart a replica always, only after an abnormal exit (transient), or never (temporary)',
    group: HEALTH,
  },
  {
    name: 'intensity',
    sets: 'intensity',
    kind: kinds.count,
    default: 'unset',
    help: 'Give up after more restarts than this within --period, even if other replicas are healthy',
    group: HEALTH,
  },
  {
    name: 'period',
    sets: 'period',
    kind: kinds.duration,
    default: '5s if --intensity is set',
    help: 'The time in which restarts are counted for --intensity',
    group: HEALTH,
  },
  {
    name: 'healthy-after',
    sets: 'healthyAfter',
    kind: kinds.duration,
    default: '5s',
    help: 'A replica that was up for this long is healthy; a shorter life is a failure',
    group: HEALTH,
  },
  {
    name: 'backoff-initial',
    sets: 'backoff',
    field: 'initial',
    kind: kinds.duration,
    default: '100ms',
    help: 'The delay before the second restart in a row; each further one waits twice as long',
    group: HEALTH,
  },
  {
    name: 'backoff-max',
    sets: 'backoff',
    field: 'max',
    kind: kinds.duration,
    default: '30s; 1s with --intensity',
    help: 'The longest delay before a restart',
    group: HEALTH,
  },
  {
    name: 'wait-ready',
    sets: 'waitReady',
    kind: kinds.oneOf('listen', 'ready', 'online'),
    default: 'listen',
    help: 'A replica is ready when it listens, when it calls ready(), or when its process runs (online)',
    group: START,
  },
  {
    name: 'ready-timeout',
    sets: 'readyTimeout',
    kind: kinds.duration,
    default: '30s',
    help: 'How long a replica may take to get ready',
    group: START,
  },
  {
    name: 'start-concurrency',
    sets: 'startConcurrency',
    kind: kinds.limit,
    default: 'one a core',
    help: 'How many replicas start at the same time',
    group: START,
  },
  {
    name: 'shutdown',
    sets: 'shutdown',
    kind: kinds.timeLimit,
    default: '5s',
    help: 'How long a replica may take to finish its requests and stop, before it is killed',
    group: START,
  },
  {
    name: 'watch-path',
    sets: 'watchPath',
    kind: kinds.folder,
    isList: true,
    default: "the script's folder",
    help: 'A folder that --watch watches instead; may be repeated',
    group: START,
  },
  {
    name: 'listen',
    sets: 'listen',
    kind: kinds.oneOf('balanced', 'node'),
    default: 'balanced on Linux, node elsewhere',
    help: 'Replicas accept in turn from a shared socket, or node:cluster distributes connections',
    group: TRAFFIC,
  },
  {
    name: 'sticky',
    sets: 'sticky',
    kind: kinds.boolean,
    default: 'off',
    help: 'All connections of one address go to the same replica, as Socket.IO needs it',
    group: TRAFFIC,
  },
  {
    name: 'max-held-requests',
    sets: 'maxHeldRequests',
    kind: kinds.count,
    default: '10000',
    help: 'How many requests a replica holds during a window; it answers 503 to more',
    group: TRAFFIC,
  },
  {
    name: 'max-hold-time',
    sets: 'maxHoldTime',
    kind: kinds.duration,
    default: 'as --shutdown',
    help: 'How long a request is held during a window, before it gets 503',
    group: TRAFFIC,
  },
  {
    name: 'selection',
    sets: 'selection',
    kind: kinds.oneOf('round-robin', 'least-queue'),
    default: 'round-robin',
    help: 'How the pool chooses the replica for a call',
    group: TRAFFIC,
  },
  {
    name: 'max-queue-length',
    sets: 'maxQueueLength',
    kind: kinds.limit,
    default: 'none',
    help: 'A replica that has so many unfinished calls gets no more',
    group: TRAFFIC,
  },
  {
    name: 'min-alive-ratio',
    sets: 'minAliveRatio',
    kind: kinds.ratio,
    default: '0.8',
    help: 'The pool is refreshed when a smaller part of its replicas is alive',
    group: TRAFFIC,
  },
  {
    name: 'reconnect-delay',
    sets: 'reconnectDelay',
    kind: kinds.duration,
    default: '1s',
    help: 'How often a pool without a replica looks for one',
    group: TRAFFIC,
  },
  {
    name: 'serialization',
    sets: 'serialization',
    kind: kinds.oneOf('json', 'advanced'),
    default: 'json',
    help: 'How calls travel: as JSON, or as structuredClone copies (Maps, Dates, Buffers)',
    group: TRAFFIC,
  },
  {
    name: 'env',
    short: 'e',
    sets: 'env',
    kind: kinds.pair,
    isList: true,
    default: "run's own",
    help: 'An environment variable of the replicas; may be repeated',
    group: NODE,
  },
  {
    name: 'cwd',
    sets: 'cwd',
    kind: kinds.folder,
    default: 'the current folder',
    help: 'The working folder of the replicas',
    group: NODE,
  },
  {
    name: 'node-arg',
    sets: 'execArgv',
    kind: kinds.text,
    isList: true,
    default: 'none',
    help: 'An option of Node, such as --node-arg=--import=tsx; may be repeated',
    group: NODE,
  },
  {
    name: 'admin',
    sets: 'admin',
    field: 'port',
    kind: kinds.count,
    default: 'off',
    help: 'Serve /live, /ready, /metrics, /status and a live page on this port',
    group: OPERATION,
  },
  {
    name: 'admin-host',
    sets: 'admin',
    field: 'host',
    kind: kinds.name,
    default: '127.0.0.1',
    help: 'The address of the admin server; one that others can reach needs a token',
    group: OPERATION,
  },
  {
    name: 'admin-token',
    sets: 'admin',
    field: 'token',
    kind: kinds.text,
    default: 'none',
    help: 'What callers of the admin server have to show. Others can read flags: use the variable',
    group: OPERATION,
  },
  {
    name: 'control',
    sets: 'control',
    kind: kinds.boolean,
    default: 'on',
    help: 'Without the socket by which status, reload, scale, window and stop find it',
    group: OPERATION,
  },
  {
    name: 'systemd',
    sets: 'systemd',
    kind: kinds.boolean,
    default: 'on where NOTIFY_SOCKET is set',
    help: 'Tell systemd when the replicas are ready, and feed its watchdog',
    group: OPERATION,
  },
];

/** The options of `supervise` and `balance` that are no flags, and why. */
export const withoutFlag: { readonly [Name in PackageOption]?: string } = {
  exec: 'is the word SCRIPT',
  args: 'are the words after --',
  signals: 'run itself stops and reloads at signals, so it is always true',
  connect: 'the pool of run is always filled at once: nobody else could refresh it',
};

/** What of an option is a function, which only a configuration file can have. */
export const onlyInFiles: { readonly [Name in PackageOption]?: string } = {
  sticky: 'a function that groups connections',
  log: 'a logger, such as pino',
};

/** The environment variable of an option. */
export function variableOf({ name }: Pick<Option, 'name'>): string {
  return `BALLERMANN_${name.toUpperCase().replaceAll('-', '_')}`;
}

export const optionFlags: Flags = Object.fromEntries(options.map((option) => [option.name, flagOf(option)]));

function flagOf({ kind, short, isList, help, group, default: byDefault }: Option): Flag {
  const { shown, allowed } = kind;
  const isBoolean = kind === kinds.boolean;
  return {
    type: isBoolean ? 'boolean' : 'string',
    help,
    group,
    ...(short && { short }),
    ...(isList && { multiple: true }),
    ...(shown && !allowed && { value: shown }),
    ...(allowed && { allowed }),
    ...(kind === kinds.file && { completes: 'file' as const }),
    ...(kind === kinds.folder && { completes: 'folder' as const }),
    ...(isBoolean && byDefault === 'on' && { isOnByDefault: true }),
  };
}
