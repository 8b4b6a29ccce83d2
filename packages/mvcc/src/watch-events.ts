/**
 * Changes as watch events. However many watchers want an event it is encoded at most twice, once as it is and once
 * with the key's previous record; and watchers that get nothing else share the list with it, so that whoever encodes
 * responses can notice.
 */
import { EventEventType, encodeEvent, readKeyValueCreateRevision } from '@quorate/proto';
import type { Change } from './types.ts';

/** One change on its way to watchers. */
export class WatchEvent {
  readonly change: Change;
  readonly #previous: () => Buffer | undefined;
  #plain: readonly Buffer[] | undefined;
  #withPrevious: readonly Buffer[] | undefined;

  /** `previous` looks up the key's record before the change; it is called at most once, when somebody wants it. */
  constructor(change: Change, previous: () => Buffer | undefined) {
    this.change = change;
    this.#previous = previous;
  }

  /** The encoded mvccpb.Event, alone in a list that is the same each time. */
  alone(withPrevious: boolean): readonly Buffer[] {
    const { type, record } = this.change;
    const number = type === 'put' ? EventEventType.PUT : EventEventType.DELETE;
    if (withPrevious) {
      this.#withPrevious ??= [encodeEvent(number, record, this.#isCreation() ? undefined : this.#previous())];
      return this.#withPrevious;
    }
    this.#plain ??= [encodeEvent(number, record, undefined)];
    return this.#plain;
  }

  /** A key that one transaction deletes and puts again has a record from before, but it is not this key's life any more. */
  #isCreation(): boolean {
    const { type, record, modRevision } = this.change;
    return type === 'put' && readKeyValueCreateRevision(record) === modRevision;
  }
}

/** The encoded events in order. */
export function encodedEvents(events: readonly WatchEvent[], withPrevious: boolean): readonly Buffer[] {
  if (events.length === 1) return events[0]!.alone(withPrevious);
  return events.map((event) => event.alone(withPrevious)[0]!);
}
