/**
 * Crash points of a real process. Armed by `name` or `name:nth` (how often it is passed before it bites, from 1), the process
 * kills itself there with SIGKILL, so that nothing gets a chance to tidy up.
 */
import { type CrashPointName, type CrashPoints, crashPointNames, noCrashPoints } from '@quorate/base';
import { killSelf } from './die.ts';

/** What `KVD_CRASH_AT` asked for makes no sense. A typing error must not pass for a test that crashed. */
export class CrashPointError extends Error {
  constructor(spec: string, reason: string) {
    super(`cannot arm crash point "${spec}": ${reason}`);
    this.name = 'CrashPointError';
  }
}

/** Crash points as `spec` says; undefined or empty arms none. Throws CrashPointError. `kill` is an argument for tests. */
export function armCrashPoints(spec: string | undefined, kill: () => void = killSelf): CrashPoints {
  if (spec === undefined || spec === '') return noCrashPoints;
  const [name = '', nth = '1', ...rest] = spec.split(':');
  if (!isCrashPoint(name)) throw new CrashPointError(spec, `no such point; there are ${crashPointNames.join(', ')}`);
  if (rest.length > 0 || !/^[1-9]\d*$/.test(nth)) throw new CrashPointError(spec, 'expected name or name:nth');
  let left = Number(nth);
  return {
    hit: (at) => {
      if (at === name && --left === 0) kill();
    },
  };
}

function isCrashPoint(name: string): name is CrashPointName {
  return (crashPointNames as readonly string[]).includes(name);
}
