/** `--feature-gates` of etcd 3.6, with the gates that mean something here. */
import { FlagValueError, parseBool } from './go-values.ts';

export interface FeatureGates {
  readonly compactHashCheck: boolean;
  readonly initialCorruptCheck: boolean;
}

/** As etcd's component-base names and refuses them. Throws FlagValueError. */
export function parseFeatureGates(text: string): FeatureGates {
  const gates = { compactHashCheck: false, initialCorruptCheck: false };
  for (const part of text.split(',')) {
    if (part.trim() === '') continue;
    const [name = '', value] = part.split('=', 2).map((word) => word.trim());
    if (value === undefined) throw new FlagValueError(`missing bool value for ${name}`);
    const isOn = boolOf(name, value);
    if (name === 'CompactHashCheck') gates.compactHashCheck = isOn;
    else if (name === 'InitialCorruptCheck') gates.initialCorruptCheck = isOn;
    else if (name === 'AllAlpha') Object.assign(gates, { compactHashCheck: isOn, initialCorruptCheck: isOn });
    else throw new FlagValueError(`unrecognized feature gate: ${name}`);
  }
  return gates;
}

function boolOf(name: string, value: string): boolean {
  try {
    return parseBool(value);
  } catch {
    throw new FlagValueError(
      `invalid value of ${name}=${value}, err: strconv.ParseBool: parsing "${value}": invalid syntax`,
    );
  }
}
