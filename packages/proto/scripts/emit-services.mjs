/** The template of services.ts: an interface and a table per service. */
import protobuf from 'protobufjs';
import { header } from './emit-messages.mjs';
import { fullName, packageFile, typeName } from './field.mjs';

/** The text of services.ts: an interface and a table per service. */
export function emitServices(files) {
  const imports = new Map();
  const parts = [];
  for (const file of files) {
    for (const service of file.namespace.nestedArray) {
      if (!(service instanceof protobuf.Service)) continue;
      parts.push(emitService(service, files, imports));
    }
  }
  const lines = [header('the services of all .proto files')];
  for (const [from, names] of imports) lines.push(`import { ${[...names].sort().join(', ')} } from './${from}.ts';`);
  lines.push("import type { MethodInfo } from '../services.ts';");
  return [lines.join('\n'), '', parts.join('\n\n'), ''].join('\n');
}

function emitService(service, files, imports) {
  const methods = service.methodsArray.map((method) => {
    const of = (type) => {
      const home = packageFile(type, files);
      if (!imports.has(home)) imports.set(home, new Set());
      imports.get(home).add(typeName(type));
      return typeName(type);
    };
    return {
      name: method.name,
      key: method.name[0].toLowerCase() + method.name.slice(1),
      request: of(method.resolvedRequestType),
      response: of(method.resolvedResponseType),
      requestStream: method.requestStream === true,
      responseStream: method.responseStream === true,
    };
  });
  const full = fullName(service);
  const variable = `${service.name === service.name.toUpperCase() ? service.name.toLowerCase() : service.name[0].toLowerCase() + service.name.slice(1)}Service`;
  return [
    `/** \`${full}\`. */`,
    `export const ${variable}: {`,
    `  readonly name: '${full}';`,
    '  readonly methods: {',
    ...methods.map(
      (m) => `    readonly ${m.key}: MethodInfo<${m.request}, ${m.response}, ${m.requestStream}, ${m.responseStream}>;`,
    ),
    '  };',
    '} = {',
    `  name: '${full}',`,
    '  methods: {',
    ...methods.flatMap((m) => [
      `    ${m.key}: {`,
      `      name: '${m.name}',`,
      `      path: '/${full}/${m.name}',`,
      `      requestStream: ${m.requestStream},`,
      `      responseStream: ${m.responseStream},`,
      `      request: ${m.request},`,
      `      response: ${m.response},`,
      '    },',
    ]),
    '  },',
    '};',
  ].join('\n');
}
