export { armCrashPoints, CrashPointError } from './crash-points.ts';
export { acquireDataDir, type DataDir, lockFileName } from './data-dir.ts';
export { corruptionExitCode, type Deathbed, die, killSelf } from './die.ts';
export { nodeClock } from './node-clock.ts';
export { NodeDisk } from './node-disk.ts';
export { nodeRandom } from './node-random.ts';
export { observeFileDescriptors, watchEventLoop } from './process-metrics.ts';
export { PromMeter } from './prom-meter.ts';
