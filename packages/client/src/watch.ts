/**
 * Watching keys, as callers see it: what a watch can be told and what it gives. How watches share a stream and survive its
 * end is in watch-hub.ts, what one watch remembers for that in watch-state.ts.
 */
import { type Event, type ResponseHeader, WatchCreateRequest, WatchCreateRequestFilterType } from '@quorate/proto';
import { type Bytes, toBuffer } from './bytes.ts';
import { type KeyRange, rangeRequest } from './ranges.ts';

/** What to watch, and how. */
export interface WatchOptions extends KeyRange {
  /** The first revision to give; 0 (the default) means from now on, that is from what {@link Watcher.created} tells plus one. */
  readonly startRevision?: number;
  /** Give with each event what was there before. */
  readonly prevKv?: boolean;
  /** Leave out puts, or deletes. */
  readonly noPut?: boolean;
  readonly noDelete?: boolean;
  /** Ask for a progress update now and then (kvd --watch-progress-notify-interval) while nothing happens. */
  readonly progressNotify?: boolean;
  /** Begin with an update that says that the watch was accepted. */
  readonly createdNotify?: boolean;
  /**
   * A member that sees no leader is left for another one; when all endpoints in turn see none or cannot be reached, the watch ends
   * with noLeader.
   * Default false: a watch stays with its member and is silent meanwhile, as etcd's is.
   */
  readonly requireLeader?: boolean;
  /** Members split large responses, which are put together here; default true. */
  readonly fragment?: boolean;
  /** About how many bytes may wait for the reader before events are left with the members; default 8 MiB. */
  readonly bufferBytesMax?: number;
  /** Aborting ends the watch at once: the reader gets the signal's reason. */
  readonly signal?: AbortSignal;
}

/** What a watch gives. `header` is the member's: its revision is at least that of the events. */
export type WatchUpdate =
  /** The watch is known to a member; only with {@link WatchOptions.createdNotify}, and only once. */
  | { readonly kind: 'created'; readonly header: ResponseHeader }
  /** Events in order of revisions; those of one revision are never spread over two updates. */
  | { readonly kind: 'events'; readonly header: ResponseHeader; readonly events: readonly Event[] }
  /** Everything up to `header.revision` was given. */
  | { readonly kind: 'progress'; readonly header: ResponseHeader };

/**
 * A running watch. Read it with one `for await`; leaving the loop cancels it. It outlives members: after a break it goes on at the
 * next revision on another endpoint, with nothing missing, doubled, out of order or split. It ends with
 * CompactedError when what comes next was compacted away, with KvError or WatchCanceledError when a member refuses it, and
 * with RpcError when the client is closed.
 *
 * A reader that is slow costs bounded memory: beyond {@link WatchOptions.bufferBytesMax} (and one response) the events stay with the
 * members and are asked for again when the reader has caught up.
 */
export interface Watcher extends AsyncIterableIterator<WatchUpdate, undefined> {
  /** Resolves when a member first accepted the watch, with its header; rejects when that never happens. */
  readonly created: Promise<ResponseHeader>;
  /**
   * Asks for a progress update. Members answer only when all watches of a stream are up to date and forget the question otherwise,
   * so there may be none.
   */
  requestProgress(): void;
  /** Ends the watch: the reader gets nothing more, not even what waits for it. */
  cancel(): void;
}

/** The request, but for where to start. */
export function watchRequest(key: Bytes, options: WatchOptions): WatchCreateRequest {
  const { prefix = false, fromKey = false, end } = options;
  const range = rangeRequest(key, { prefix, fromKey, ...(end === undefined ? {} : { end: toBuffer(end) }) });
  const filters: number[] = [];
  if (options.noPut === true) filters.push(WatchCreateRequestFilterType.NOPUT);
  if (options.noDelete === true) filters.push(WatchCreateRequestFilterType.NODELETE);
  return WatchCreateRequest.create({
    key: range.key,
    rangeEnd: range.rangeEnd,
    filters,
    prevKv: options.prevKv === true,
    progressNotify: options.progressNotify === true,
    fragment: options.fragment !== false,
  });
}
