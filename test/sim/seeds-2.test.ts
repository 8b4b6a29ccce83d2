/** Share 2 of 2 of the simulated clusters; see support/seeds.ts. */
import { describeSeeds } from '../support/seeds.ts';

describeSeeds(1, 2);
