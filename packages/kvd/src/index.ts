export { environmentName, type FlagSpec, type FlagValues, flagName, flagTable, oldNames } from './flags/flag-table.ts';
