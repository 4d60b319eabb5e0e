/**
 * The rooms of src/, from the top floor down: a file imports from its own room and from rooms below it, never from one
 * above. `npm run check` holds the imports against this list (scripts/check-rooms.js); docs/design.md shows it.
 */

/**
 * `place` is a file or a folder of src; the longest that fits a file is its room. Folders in a room that have no line of
 * their own belong to it.
 */
export const rooms = [
  { place: 'cli', owns: '`ballermann` on the command line: its commands, their flags, their help' },
  { place: 'index.ts', owns: '`ballermann`: the public functions, and every public type' },
  { place: 'replica.ts', owns: '`ballermann/replica`: what the script of a replica uses' },
  { place: 'prometheus.ts', owns: '`ballermann/prometheus`: metrics() by a client library for Prometheus' },
  {
    place: 'opentelemetry.ts',
    owns: '`ballermann/opentelemetry`: spans and metrics of the tracing channels',
  },
  { place: 'nats.ts', owns: '`ballermann/nats`: pools beyond one machine, over NATS' },
  { place: 'nats', owns: 'both sides of a pool over NATS: its members, and those who call it' },
  {
    place: 'local',
    owns: 'what the public functions do in this process or thread: primary, replica, worker thread',
  },
  { place: 'control', owns: 'the control socket of a supervisor: its place, its protocol, both of its ends' },
  { place: 'admin', owns: 'the admin server: health, metrics and a live page, over HTTP' },
  { place: 'prometheus', owns: 'names, help texts and values of what is exported to Prometheus' },
  { place: 'systemd', owns: 'this process as a service of systemd: ready, reloading, stopping, alive' },
  { place: 'primary/relay.ts', owns: 'what replicas ask of the primary' },
  { place: 'primary/pools', owns: 'pools: who is in rotation, the ratio, windows, what is held' },
  { place: 'primary/process', owns: 'the primary as a process: its signals, its duties as PID 1' },
  { place: 'primary/supervision', owns: 'the supervisor: starts, restarts, reloads, recycling, stops' },
  { place: 'primary/liveness', owns: 'whose event loop stands still: blocked, hung, reports' },
  { place: 'primary/listening', owns: 'the listening sockets that replicas share, in turn or sticky' },
  { place: 'primary/metrics', owns: 'what metrics() shows, and counters that never go down' },
  { place: 'primary/replicas', owns: "the primary's end of a replica: process, slot, channel, messages" },
  { place: 'primary/announce.ts', owns: 'how supervisors and pools emit their events' },
  { place: 'replica', owns: 'a replica: preload, runtime, its orderly end' },
  {
    place: 'replica/servers',
    owns: 'the servers of a replica: who accepts, which requests run, which are held',
  },
  { place: 'replica/messages', owns: 'the messages of a replica: those it is sent, and those it sends' },
  { place: 'channel', owns: 'what travels between the processes: entries, codecs, batches, time limits' },
  { place: 'output.ts', owns: 'a stdout or stderr that has lost its reader or its terminal' },
  { place: 'memory', owns: 'the shared segment: slots, rings, rotations, counted transactions' },
  { place: 'tracing.ts', owns: 'the tracing channels, and the trace context that travels with a call' },
  { place: 'contract.ts', owns: "the contract of a pool: its handler's type, taken apart" },
  { place: 'options.ts', owns: 'options that callers in any process pass' },
  { place: 'package-files.ts', owns: 'where the files lie that the package reads while it runs' },
  { place: 'stats.ts', owns: 'what fs says of a pipe or a socket, without an effect on imports' },
  { place: 'aborts.ts', owns: 'waiting for AbortSignals of others: one listener a signal, races, deadlines' },
  { place: 'deferred.ts', owns: 'a promise that something else settles' },
  { place: 'errors.ts', owns: 'the error class, its codes, and how errors travel' },
  { place: 'arguments.ts', owns: 'checks of what callers pass' },
];

/** @param file below src, as `primary/pools/balancer.ts`. @returns its room's index in `rooms`; -1 where it has none. */
export function roomOf(file) {
  let found = -1;
  for (const [index, { place }] of rooms.entries()) {
    const fits = file === place || file.startsWith(`${place}/`);
    if (fits && place.length > (rooms[found]?.place.length ?? 0)) found = index;
  }
  return found;
}
