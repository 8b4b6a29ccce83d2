/** Chance from the operating system: nobody can predict ids, nor make two members jitter alike. */
import { randomInt } from 'node:crypto';
import type { Random } from '@quorate/base';

export const nodeRandom: Random = {
  below: (bound) => randomInt(bound),
};
