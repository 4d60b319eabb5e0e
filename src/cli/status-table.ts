/** The status of a supervisor as a table of at most 80 columns. */

import type { Status } from '../control/protocol.js';
import type { PoolMetrics, ReplicaMetrics } from '../primary/metrics/supervisor-metrics.js';

export interface Look {
  /** Whether bars and colours are shown: on a terminal. */
  readonly isLive: boolean;
  readonly hasColour: boolean;
  /** Lines that fit; the rest of the replicas is counted. */
  readonly rows?: number | undefined;
}

/** A status, and when it came (performance.now()). */
export interface Sample {
  readonly status: Status;
  readonly at: number;
}

const BAR = 8;
const EIGHTHS = ['', '▏', '▎', '▍', '▌', '▋', '▊', '▉'];

/** @param before what the rates are counted from; without it, what was done ever is shown. */
export function statusLines(now: Sample, before: Sample | undefined, look: Look): string[] {
  const { status } = now;
  const paint = look.hasColour ? painted : plain;
  const head = heading(status, paint);
  const pools = poolLines(status.pools, paint);
  const replicas = replicaLines(now, before, look, paint);
  const room =
    look.rows === undefined ? replicas.length : Math.max(2, look.rows - head.length - pools.length);
  const hidden = replicas.length - room;
  const shown =
    hidden <= 0 ? replicas : [...replicas.slice(0, room - 1), `… and ${hidden + 1} more replicas`];
  return [...head, ...shown, ...pools];
}

function heading(status: Status, paint: Paint): string[] {
  const { name, state, uptime, pid, version, script, reloads } = status;
  const isWell = state === 'running';
  const reloading = reloads.running ? '  reloading' : '';
  const said = `${paint(printable(name), 'bold')}  ${paint(state, isWell ? 'green' : 'yellow')}${reloading}`;
  return [`${said}  up ${age(uptime)}  pid ${pid}  ballermann ${version}`, clip(printable(script), 80), ''];
}

function replicaLines(now: Sample, before: Sample | undefined, look: Look, paint: Paint): string[] {
  const bar = look.isLive ? `${'util'.padEnd(BAR)} ` : '';
  const rate = before === undefined ? 'requests' : 'req/s';
  const titles = `${'#'.padStart(3)} ${'pid'.padStart(7)} ${'state'.padEnd(10)} ${'up'.padStart(6)} ${bar}${look.isLive ? '    ' : 'util'} ${'rss'.padStart(7)} ${'open'.padStart(5)} ${rate.padStart(9)} ${'restarts'.padStart(8)}`;
  const earlier = new Map(before?.status.replicas.map((replica) => [replica.index, replica]));
  const lines = now.status.replicas.map((replica) => {
    const { index, pid, uptime, eventLoopUtilization: utilization, rss, unfinished, running } = replica;
    const state = stateOf(replica);
    const cells = [
      String(index).padStart(3),
      String(pid ?? '-').padStart(7),
      paint(state.padEnd(10), state === 'up' ? 'green' : state === 'blocked' ? 'red' : 'yellow'),
      (replica.state === 'up' ? age(uptime) : '-').padStart(6),
      ...(look.isLive ? [paint(bars(utilization), utilization >= 0.9 ? 'red' : 'cyan')] : []),
      `${Math.round(utilization * 100)}%`.padStart(4),
      (rss === undefined ? '-' : bytes(rss)).padStart(7),
      count(unfinished + running).padStart(5),
      workOf(replica, earlier.get(index), before && now.at - before.at).padStart(9),
      count(restartsOf(replica)).padStart(8),
    ];
    return cells.join(' ');
  });
  return [paint(titles, 'dim'), ...lines];
}

function poolLines(pools: readonly PoolMetrics[], paint: Paint): string[] {
  if (pools.length === 0) return [];
  const titles = `${'pool'.padEnd(24)} ${'alive'.padStart(9)} ${'sent'.padStart(9)} ${'held'.padStart(6)} ${'windows'.padStart(8)} ${'paused for'.padStart(10)}`;
  const lines = pools.map(({ name, alive, original, sent, held, paused, windows }) => {
    const cells = [
      clip(printable(name), 24).padEnd(24),
      `${alive}/${original}`.padStart(9),
      count(sent).padStart(9),
      count(held).padStart(6),
      count(windows.count).padStart(8),
      (windows.count === 0 ? '-' : duration(windows.totalDuration)).padStart(10),
    ];
    return `${cells.join(' ')}${paused ? ` ${paint('PAUSED', 'yellow')}` : ''}`;
  });
  return ['', paint(titles, 'dim'), ...lines];
}

function stateOf({ state, blocked }: ReplicaMetrics): string {
  return state === 'up' && blocked ? 'blocked' : state;
}

/** Calls, casts and requests: a second, or ever where there is nothing to count from. */
function workOf(now: ReplicaMetrics, before: ReplicaMetrics | undefined, ms: number | undefined): string {
  const work = (replica: ReplicaMetrics): number => replica.taken + replica.requests;
  if (ms === undefined) return count(work(now));
  if (before === undefined || ms <= 0) return '-';
  return count(Math.max(0, Math.round(((work(now) - work(before)) * 1_000) / ms)));
}

/** Those that nobody asked for. */
function restartsOf({ restarts }: ReplicaMetrics): number {
  const { crash, exit, signal, hung, startFailed } = restarts;
  return crash + exit + signal + hung + startFailed;
}

/** In eighths of a column. */
function bars(part: number): string {
  const eighths = Math.round(Math.min(1, Math.max(0, part)) * BAR * 8);
  return ('█'.repeat(eighths >> 3) + EIGHTHS[eighths & 7]).padEnd(BAR, '·');
}

const UNITS: readonly (readonly [string, number])[] = [
  ['d', 86_400_000],
  ['h', 3_600_000],
  ['m', 60_000],
  ['s', 1_000],
];

/** Its two largest units, without a blank. */
export function age(ms: number): string {
  const first = UNITS.findIndex(([, size]) => ms >= size);
  if (first === -1) return '0s';
  const [unit, size] = UNITS[first] as [string, number];
  const next = UNITS[first + 1];
  const whole = Math.floor(ms / size);
  if (next === undefined || whole >= 100) return `${whole}${unit}`;
  return `${whole}${unit}${Math.floor((ms % size) / next[1])}${next[0]}`;
}

function duration(ms: number): string {
  return ms < 10_000 ? `${Math.round(ms)} ms` : age(ms);
}

export function bytes(value: number): string {
  const megabytes = value / 2 ** 20;
  if (megabytes >= 1_000 * 1_024) return `${Math.round(megabytes / 2 ** 20)} TB`;
  if (megabytes >= 10_000) return `${Math.round(megabytes / 1_024)} GB`;
  return `${megabytes < 10 ? megabytes.toFixed(1) : Math.round(megabytes)} MB`;
}

/** In at most five characters. */
export function count(value: number): string {
  if (value < 100_000) return String(value);
  const power = Math.min(4, Math.floor(Math.log10(value / 10) / 3));
  return `${Math.floor(value / 1_000 ** power)}${' kMGT'[power]}`;
}

function clip(text: string, width: number): string {
  return text.length <= width ? text : `…${text.slice(text.length - width + 1)}`;
}

/** A name may hold what a terminal takes for a command. */
function printable(text: string): string {
  return text.replace(/[\p{Cc}\p{Cf}\p{Zl}\p{Zp}]/gu, '?');
}

type Paint = (text: string, style: keyof typeof STYLES) => string;

const STYLES = { bold: 1, dim: 2, red: 31, green: 32, yellow: 33, cyan: 36 } as const;

function painted(text: string, style: keyof typeof STYLES): string {
  return `\x1b[${STYLES[style]}m${text}\x1b[0m`;
}

function plain(text: string): string {
  return text;
}
