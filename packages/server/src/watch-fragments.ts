/** Splitting what a watch is given for clients that asked for it, because they do not take messages of any size. */

/** Tag and length before an event, at most. */
const framingBytesMax = 6;

/**
 * `events` in pieces that stay below `sizeBytesMax`, but for those of a single event. One piece when everything fits.
 * Pieces may split a revision: only the last one completes it.
 */
export function splitEvents(events: readonly Buffer[], sizeBytesMax: number): (readonly Buffer[])[] {
  const pieces: (readonly Buffer[])[] = [];
  let first = 0;
  let sizeBytes = 0;
  for (const [i, event] of events.entries()) {
    const bytes = event.length + framingBytesMax;
    if (i > first && sizeBytes + bytes >= sizeBytesMax) {
      pieces.push(events.slice(first, i));
      first = i;
      sizeBytes = 0;
    }
    sizeBytes += bytes;
  }
  pieces.push(first === 0 ? events : events.slice(first));
  return pieces;
}
