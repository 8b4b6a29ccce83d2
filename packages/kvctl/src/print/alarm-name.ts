/** Names of alarms, for every format but JSON. */
import { AlarmType } from '@quorate/proto';

const names: ReadonlyMap<number, string> = new Map(Object.entries(AlarmType).map(([name, number]) => [number, name]));

/** `NOSPACE`; a number that has no name stands for itself. */
export function alarmName(alarm: number): string {
  return names.get(alarm) ?? String(alarm);
}
