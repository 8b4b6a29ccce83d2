/** Names of events, for every format but JSON and for commands run per event. */
import { EventEventType } from '@quorate/proto';

/** `PUT` or `DELETE`; a number that has no name stands for itself. */
export function eventName(type: number): string {
  if (type === EventEventType.PUT) return 'PUT';
  return type === EventEventType.DELETE ? 'DELETE' : String(type);
}
