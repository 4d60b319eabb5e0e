/** A client of /events that keeps what it is sent. */

import { once } from 'node:events';
import { type ClientRequest, get, type IncomingMessage } from 'node:http';
import type { SupervisorMetrics } from 'ballermann';
import { until } from './helpers.js';

export interface Frame {
  readonly event: string;
  readonly data: unknown;
}

interface NewsItem {
  readonly at: number;
  readonly kind: string;
  readonly replica?: number;
  readonly pool?: string;
  readonly text: string;
}

interface Snapshot {
  readonly at: number;
  readonly metrics: SupervisorMetrics;
}

export class Listener implements Disposable {
  /** All that has come. */
  text = '';
  ended = false;
  readonly #request: ClientRequest;

  private constructor(request: ClientRequest, response: IncomingMessage) {
    this.#request = request;
    response
      .setEncoding('utf8')
      .on('data', (part: string) => {
        this.text += part;
      })
      .on('error', () => {})
      .on('close', () => {
        this.ended = true;
      });
  }

  /** @throws where it is refused. */
  static async of(admin: URL): Promise<Listener> {
    const request = get(new URL('events', admin), { agent: false });
    const [response] = (await once(request, 'response')) as [IncomingMessage];
    request.on('error', () => {});
    if (response.statusCode === 200) return new Listener(request, response);
    request.destroy();
    throw new Error(`status ${response.statusCode}`);
  }

  get all(): Frame[] {
    return [...this.text.matchAll(/event: (\w+)\ndata: (.*)\n\n/g)].map(([, event, data]) => ({
      event: event as string,
      data: JSON.parse(data as string),
    }));
  }

  async frames(count: number): Promise<Frame[]> {
    return until(() => this.all.length >= count && this.all, `${count} frames`) as Promise<Frame[]>;
  }

  /** News of that kind, those in the history left out. */
  ofKind(kind: string): NewsItem[] {
    const news = this.all.filter(({ event }) => event === 'news').map(({ data }) => data as NewsItem);
    return news.filter((item) => item.kind === kind);
  }

  snapshots(): Snapshot[] {
    return this.all.filter(({ event }) => event === 'snapshot').map(({ data }) => data as Snapshot);
  }

  [Symbol.dispose](): void {
    this.#request.destroy();
  }
}
