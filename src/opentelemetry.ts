/**
 * `ballermann/opentelemetry`: spans and metrics of what the tracing channels tell, by the semantic conventions for RPC. Names of
 * attributes and metrics are those of version 1.45, in which they are stable.
 */

import type { TracingChannel } from 'node:diagnostics_channel';
import {
  type Attributes,
  type Context,
  context,
  createTraceState,
  isSpanContextValid,
  type MeterProvider,
  metrics,
  ROOT_CONTEXT,
  type Span,
  SpanKind,
  SpanStatusCode,
  type Tracer,
  type TracerProvider,
  trace,
} from '@opentelemetry/api';
import { checkOptions } from './arguments.js';
import { BallermannError, toErrorData } from './errors.js';
import { packageVersion } from './package-files.js';
import {
  type CallTrace,
  calls,
  type HandleTrace,
  handles,
  type ReloadTrace,
  reloads,
  type Trace,
  type TraceCarrier,
  type WindowTrace,
  windows,
} from './tracing.js';

export interface InstrumentOptions {
  /** Whose tracer makes the spans. @default the one that is registered globally */
  tracerProvider?: TracerProvider;
  /** Whose meter makes the histograms. @default the one that is registered globally when `instrument` is called */
  meterProvider?: MeterProvider;
}

const NAME = 'ballermann';

/** Seconds, as the conventions advise. */
const BUCKETS = [0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1, 2.5, 5, 7.5, 10];

/**
 * Makes spans and metrics of the calls, casts, pings, windows and reloads of this process, and of what it handles as a replica.
 * Call it once in the primary, and once in the replicas' script: a handler's span is then the child of its call's, whichever
 * process has made that. Inside a handler and inside the functions of a window their span is the active one.
 * @returns a function that ends it. Spans that are open end with it.
 * @throws TypeError for a wrong option.
 */
export function instrument(options: InstrumentOptions = {}): () => void {
  checkOptions('options', options, ['tracerProvider', 'meterProvider']);
  const { tracerProvider = trace.getTracerProvider(), meterProvider = metrics.getMeterProvider() } = options;
  const tracer = tracerProvider.getTracer(NAME, version());
  const meter = meterProvider.getMeter(NAME, version());
  const histogram = (side: 'client' | 'server', description: string) =>
    meter.createHistogram(`rpc.${side}.call.duration`, {
      description,
      unit: 's',
      advice: { explicitBucketBoundaries: BUCKETS },
    });
  const clients = histogram('client', 'Measures the duration of an outgoing Remote Procedure Call (RPC).');
  const servers = histogram('server', 'Measures the duration of an incoming Remote Procedure Call (RPC).');
  const ends = [
    record(calls, {
      open: (call) => openCall(tracer, call),
      close(call, span, seconds) {
        if (call.pid !== undefined) span.setAttribute('ballermann.replica.pid', call.pid);
        clients.record(seconds, { ...callAttributes(call), ...outcome(span, call) });
      },
      isOver: ({ kind }) => kind === 'cast',
    }),
    record(handles, {
      open: (handle) => openHandle(tracer, handle),
      close(handle, span, seconds) {
        servers.record(seconds, { ...handleAttributes(handle), ...outcome(span, handle, 'ERR_REMOTE') });
      },
    }),
    record(windows, {
      open: (window) => openWindow(tracer, window),
      close(window, span) {
        if (window.openedAt !== undefined) span.addEvent('paused', window.openedAt);
        if (window.waitedAt !== undefined) span.addEvent('waited', window.waitedAt);
        if (isFailed(window)) failed(span, window.error);
      },
    }),
    record(reloads, {
      open: (reload) => openReload(tracer, reload),
      close(reload, span) {
        if (reload.begunAt !== undefined) span.addEvent('begun', reload.begunAt);
        for (const { index, pid, at } of reload.replaced) {
          const attributes = { 'ballermann.replica.index': index, 'ballermann.replica.pid': pid };
          span.addEvent('replaced', attributes, at);
        }
        if (isFailed(reload)) failed(span, reload.error);
      },
    }),
  ];
  return () => {
    for (const end of ends) end();
  };
}

/** How the events of one channel become spans. */
interface Recording<Traced extends Trace> {
  open(traced: Traced): Span;
  /** Called before the span ends. */
  close(traced: Traced, span: Span, seconds: number): void;
  /** Whether the event 'end' is the last. @default 'asyncEnd' is */
  isOver?(traced: Traced): boolean;
}

/** @returns what ends the recording. */
function record<Traced extends Trace>(
  channel: TracingChannel<unknown, Traced>,
  { open, close, isOver }: Recording<Traced>,
): () => void {
  const running = new Map<object, { readonly span: Span; readonly began: number }>();
  const finish = (message: object): void => {
    const begun = running.get(message);
    if (begun === undefined) return; // it began before the recording
    running.delete(message);
    close(message as Traced, begun.span, (performance.now() - begun.began) / 1000);
    begun.span.end();
  };
  const subscribers = {
    start(message: object) {
      running.set(message, { span: open(message as Traced), began: performance.now() });
    },
    end(message: object) {
      if (isOver?.(message as Traced)) finish(message);
    },
    asyncStart() {},
    asyncEnd: finish,
    error() {},
  };
  channel.subscribe(subscribers);
  return () => {
    channel.unsubscribe(subscribers);
    for (const { span } of running.values()) span.end();
    running.clear();
  };
}

function openCall(tracer: Tracer, call: CallTrace): Span {
  const attributes = { ...callAttributes(call), ...poolAttributes(call) };
  const span = tracer.startSpan(nameOf(attributes), { kind: SpanKind.CLIENT, attributes });
  if (call.kind !== 'ping') call.carrier = carrierOf(span);
  return span;
}

function openHandle(tracer: Tracer, handle: HandleTrace): Span {
  const attributes = { ...handleAttributes(handle), 'ballermann.replica.index': handle.index };
  const parent = parentOf(handle.carrier);
  const span = tracer.startSpan(nameOf(attributes), { kind: SpanKind.SERVER, attributes }, parent);
  runWithin(handle, trace.setSpan(parent, span));
  return span;
}

function openWindow(tracer: Tracer, window: WindowTrace): Span {
  const attributes = poolAttributes(window);
  const span = tracer.startSpan(`window ${window.pool}`, { attributes });
  runWithin(window, trace.setSpan(context.active(), span));
  return span;
}

function openReload(tracer: Tracer, { supervisor, maxUnavailable }: ReloadTrace): Span {
  const attributes = {
    'ballermann.supervisor': supervisor,
    'ballermann.reload.max_unavailable': maxUnavailable,
  };
  return tracer.startSpan(`reload ${supervisor}`, { attributes });
}

/** What is the same for each call of its kind: also the attributes of its metric. */
function callAttributes({ kind, pool }: CallTrace): Attributes {
  return rpc(pool === undefined ? kind : `${pool}/${kind}`);
}

function handleAttributes({ kind, supervisor }: HandleTrace): Attributes {
  return rpc(`${supervisor}/${kind}`);
}

/** Messages have no names that ballermann knows: the method is the service, and what is asked of it. */
function rpc(method: string): Attributes {
  return { 'rpc.system.name': NAME, 'rpc.method': method };
}

function poolAttributes({ pool }: { readonly pool: string | undefined }): Attributes {
  return pool === undefined ? {} : { 'ballermann.pool': pool };
}

function nameOf(attributes: Attributes): string {
  return String(attributes['rpc.method']);
}

/** @param code of what a handler threw, as its caller has it. @returns attributes of span and metric. */
function outcome(span: Span, traced: Trace, code?: string): Attributes {
  if (!isFailed(traced)) return {};
  const { error } = traced;
  const status = code ?? (error instanceof BallermannError ? error.code : undefined);
  const attributes = { ...failed(span, error), ...(status !== undefined && { 'rpc.status_code': status }) };
  span.setAttributes(attributes);
  return attributes;
}

/** Whatever it failed with, undefined too. */
function isFailed(traced: Trace): boolean {
  return 'error' in traced;
}

function failed(span: Span, error: unknown): Attributes {
  const { name, message, stack, code } = toErrorData(error);
  span.recordException({ name, message, ...(stack !== undefined && { stack }) });
  span.setStatus({ code: SpanStatusCode.ERROR, message });
  const attributes = { 'error.type': code ?? name };
  span.setAttributes(attributes);
  return attributes;
}

/** Has what is traced run with `active` as the active context. */
function runWithin(traced: Trace, active: Context): void {
  const { run } = traced;
  traced.run = (inner) => {
    const within = (): ReturnType<typeof inner> => context.with(active, inner);
    return run === undefined ? within() : run(within);
  };
}

function carrierOf(span: Span): TraceCarrier | undefined {
  const spanContext = span.spanContext();
  if (!isSpanContextValid(spanContext)) return undefined;
  const { traceId, spanId, traceFlags, traceState } = spanContext;
  const flags = (traceFlags & 0xff).toString(16).padStart(2, '0');
  return { traceparent: `00-${traceId}-${spanId}-${flags}`, tracestate: traceState?.serialize() };
}

function parentOf(carrier: TraceCarrier | undefined): Context {
  if (carrier === undefined) return ROOT_CONTEXT;
  const [, traceId = '', spanId = '', flags = ''] = carrier.traceparent.split('-');
  return trace.setSpanContext(ROOT_CONTEXT, {
    traceId,
    spanId,
    traceFlags: Number.parseInt(flags, 16),
    isRemote: true,
    ...(carrier.tracestate && { traceState: createTraceState(carrier.tracestate) }),
  });
}

/** Undefined where a bundler has moved this file out of its package. */
function version(): string | undefined {
  try {
    return packageVersion();
  } catch {
    return undefined;
  }
}
