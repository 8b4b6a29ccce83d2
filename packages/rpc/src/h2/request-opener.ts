/**
 * From header blocks to calls: decodes, remembers blocks, refuses what is not served, opens streams. Every block is decoded,
 * whatever becomes of it, since the tables of both sides must stay the same.
 */
import type { IdTable } from '@quorate/base';
import { Call, type CallHost } from './call.ts';
import { ErrorCode } from './frames.ts';
import { StreamError } from './h2-errors.ts';
import { HeadCache } from './head-cache.ts';
import { HpackDecoder } from './hpack-decoder.ts';
import { areTrailers, type RequestHead, type Routes, readRequestHead } from './request-head.ts';
import { headersTooLargeBlock, refusalBlock } from './responses.ts';

/** The connection, as new requests see it. */
export interface OpenerHost extends CallHost {
  readonly streams: IdTable<Call>;
  readonly routes: Routes;
  /** The client came over TLS. */
  readonly isSecure: boolean;
  /** No new streams are taken. */
  readonly refusing: boolean;
  /** Time of this turn. */
  readonly nowMs: number;
  /** A stream was answered without becoming a call; `endStream`: the client has sent all of it. */
  answeredAtOnce(streamId: number, endStream: boolean): void;
  /** The client has sent all of a call's request. */
  remoteEnded(call: Call): void;
}

export class RequestOpener {
  /** The highest stream the client has opened. */
  lastStreamId = 0;
  /** Requests so far. */
  count = 0;
  private readonly host: OpenerHost;
  private readonly decoder: HpackDecoder;
  private readonly cache = new HeadCache();

  constructor(host: OpenerHost) {
    this.host = host;
    this.decoder = new HpackDecoder(host.limits.headerListBytesMax);
  }

  /** Opens stream `id`, which is higher than all before. Throws ConnectionError, StreamError. */
  open(id: number, endStream: boolean, bytes: Buffer, start: number, end: number): void {
    this.lastStreamId = id;
    this.count++;
    const head = this.cache.find(bytes, start, end, this.decoder.table.version) ?? this.decode(id, bytes, start, end);
    const host = this.host;
    if (this.isTooMuch()) throw new StreamError(id, ErrorCode.refusedStream, 'too many streams');
    if (head === 'too large') {
      this.answer(id, headersTooLargeBlock, endStream);
    } else if (head.method === undefined) {
      this.answer(id, refusalBlock(head.refusal!), endStream);
    } else {
      const call = new Call(id, head, head.method, host);
      host.streams.add(call);
      call.begin(host.nowMs);
      if (endStream) {
        call.onRemoteEnd();
        host.remoteEnded(call);
      }
    }
  }

  /** Header fields after the body of an open stream. Throws ConnectionError, StreamError. */
  trailers(id: number, bytes: Buffer, start: number, end: number): void {
    const { fields } = this.decoder.decode(bytes, start, end);
    if (!areTrailers(fields)) throw new StreamError(id, ErrorCode.protocolError, 'malformed trailers');
  }

  /** A block of a stream that is closed. */
  skip(bytes: Buffer, start: number, end: number): void {
    this.decoder.decode(bytes, start, end);
  }

  private decode(id: number, bytes: Buffer, start: number, end: number): RequestHead | 'too large' {
    const { table } = this.decoder;
    const versionBefore = table.version;
    const { fields, tooLarge } = this.decoder.decode(bytes, start, end);
    if (tooLarge) return 'too large';
    const head = readRequestHead(fields, this.host.routes, this.host.isSecure);
    if (head === undefined) throw new StreamError(id, ErrorCode.protocolError, 'malformed request');
    // A time-out is another one in every request; remembering it would only drive out what comes again.
    if (table.version === versionBefore && head.timeoutMs === undefined) {
      this.cache.add(bytes.subarray(start, end), this.decoder.usedDynamicTable ? versionBefore : undefined, head);
    }
    return head;
  }

  private isTooMuch(): boolean {
    const { streams, options, sender, limits, refusing } = this.host;
    if (refusing || streams.count >= options.maxConcurrentStreams) return true;
    return sender.queuedBytes > limits.queuedBytesMax && sender.queuedStreams > limits.queuedStreamsMax;
  }

  private answer(id: number, block: Buffer, endStream: boolean): void {
    this.host.sender.headers(id, block, true);
    this.host.answeredAtOnce(id, endStream);
  }
}
