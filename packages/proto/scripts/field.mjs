/**
 * A field of a .proto definition as the templates see it: its names, how it is held in TypeScript, how its values are read,
 * written and sized. Which 64-bit fields are exact is decided here.
 */
import protobuf from 'protobufjs';

/** 64-bit fields that are identities and must be exact; all other 64-bit fields are numbers, clamped when decoded. */
const idFields = new Set([
  'cluster_id',
  'member_id',
  'memberID',
  'ID',
  'lease',
  'targetID',
  'watch_id',
  'node_id',
  'to',
  'from',
  'vote',
  'voters',
  'learners',
  'voters_outgoing',
  'learners_next',
  'leader',
  'incarnation',
  'id',
  'proposer',
]);
/** Called id, but counters of our own that stay small. */
const notIds = new Set(['internalpb.RequestHeader.id', 'raftpb.ConfChange.id']);
/** Ids that may be negative: -1 says "no watcher". The others are 64 plain bits. */
const signedIds = new Set(['watch_id']);

const scalarKinds = new Set(['bool', 'bytes', 'int32', 'int64', 'string', 'uint32', 'uint64']);
const packable = new Set(['bool', 'enum', 'int32', 'int64', 'uint32', 'uint64']);

/** Name of a type in TypeScript: nested ones carry their parent's name before their own. */
export function typeName(item) {
  return item.parent instanceof protobuf.Type ? typeName(item.parent) + item.name : item.name;
}

/** `range_end` → rangeEnd, `ID` → id; anything else stays. */
function propertyName(name) {
  return name === name.toUpperCase() ? name.toLowerCase() : jsonName(name);
}

/** The name proto3 JSON gives: underscores go, the letter behind one becomes a capital. */
function jsonName(name) {
  return name.replace(/_(.)/g, (_, letter) => letter.toUpperCase());
}

/** Full protobuf name without the leading dot. */
export function fullName(item) {
  return item.fullName.slice(1);
}

/** Name of the generated file a type lives in. */
export function packageFile(item, files) {
  return files.find(({ namespace }) => item.fullName.startsWith(`${namespace.fullName}.`)).out;
}

/** Everything the templates need to know of a field; throws for kinds that do not occur and are not supported. */
export function describe(field, context) {
  if (field.map || field.options?.proto3_optional) throw new Error(`cannot generate ${field.fullName}`);
  const resolved = field.resolvedType;
  const kind = resolved instanceof protobuf.Enum ? 'enum' : resolved instanceof protobuf.Type ? 'message' : field.type;
  if (resolved === null && !scalarKinds.has(kind)) throw new Error(`cannot generate ${field.fullName}: ${kind}`);
  const wide = kind === 'int64' || kind === 'uint64';
  const exact = wide && idFields.has(field.name) && !notIds.has(fullName(field));
  const info = {
    name: field.name,
    json: jsonName(field.name),
    property: propertyName(field.name),
    number: field.id,
    kind,
    repeated: field.repeated,
    packed: field.repeated && packable.has(kind),
    oneof: field.partOf?.name,
    siblings:
      field.partOf?.fieldsArray.filter((other) => other !== field).map((other) => propertyName(other.name)) ?? [],
    bigint: exact ? (signedIds.has(field.name) ? 'signed' : 'unsigned') : undefined,
    target: resolved === null ? undefined : typeName(resolved),
    comment: field.comment,
  };
  if (info.target !== undefined) {
    const home = packageFile(resolved, context.files);
    if (home !== context.file.out) context.use(`./${home}.ts`, info.target);
  }
  return info;
}

/** How values of a kind are read, written, sized, and what stands for "not set". */
export function scalar(field, context) {
  const wire = (name) => {
    context.use('../wire.ts', name);
    return name;
  };
  switch (field.kind) {
    case 'bool':
      return {
        type: 'boolean',
        zero: 'false',
        set: (x) => x,
        read: 'bool()',
        write: (x) => `byte(${x} ? 1 : 0)`,
        size: () => '1',
      };
    case 'bytes':
      return {
        type: 'Buffer',
        zero: wire('emptyBytes'),
        set: (x) => `${x}.length !== 0`,
        read: 'bytes()',
        write: (x) => `bytes(${x})`,
        size: (x) => `${wire('sizeDelimited')}(${x}.length)`,
      };
    case 'string':
      return {
        type: 'string',
        zero: "''",
        set: (x) => `${x} !== ''`,
        read: 'string()',
        write: (x) => `string(${x})`,
        size: (x) => `${wire('sizeString')}(${x})`,
      };
    case 'enum':
    case 'int32':
      return number('int32()', 'int32', (x) => `${wire('sizeInt32')}(${x})`);
    case 'uint32':
      return number('uint32()', 'uint32', (x) => `${wire('sizeUint32')}(${x})`);
    default:
      if (field.bigint === undefined) return number(`${field.kind}()`, 'int64', (x) => `${wire('sizeInt64')}(${x})`);
      return {
        type: 'bigint',
        zero: '0n',
        set: (x) => `${x} !== 0n`,
        read: field.bigint === 'signed' ? 'bigint()' : 'biguint()',
        write: (x) => `bigint(${x})`,
        size: (x) => `${wire('sizeBigint')}(${x})`,
      };
  }
}

function number(read, write, size) {
  return { type: 'number', zero: '0', set: (x) => `${x} !== 0`, read, write: (x) => `${write}(${x})`, size };
}
