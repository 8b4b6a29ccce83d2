export type { FlagSpec } from './flags/flag-kinds.ts';
export { environmentName, type FlagValues, flagName, flagTable, oldNames } from './flags/flag-table.ts';
