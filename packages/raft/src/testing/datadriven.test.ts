import { expect, test } from 'vitest';
import { argValue, directivesOf, renderScript, words } from './datadriven.ts';

const script = `# A comment.
first 1 2 key=value list=(a, b,c) empty=()
input one
input two
----
old output

# Another comment.
second
----
`;

test('a script is parsed into commands with arguments, input and expected output', () => {
  const [first, second] = directivesOf(script);
  expect(first).toMatchObject({
    line: 2,
    command: 'first',
    input: 'input one\ninput two',
    expected: 'old output\n',
  });
  expect(words(first!)).toEqual(['1', '2']);
  expect(argValue(first!, 'key')).toBe('value');
  expect(first!.args.find((arg) => arg.key === 'list')?.values).toEqual(['a', 'b', 'c']);
  expect(second).toMatchObject({ line: 9, command: 'second', args: [], input: '', expected: '' });
});

test('rewriting replaces outputs and nothing else, and is stable', () => {
  const rewritten = renderScript(script, ['new\noutput\n', 'ok\n']);
  expect(rewritten).toBe(`# A comment.
first 1 2 key=value list=(a, b,c) empty=()
input one
input two
----
new
output

# Another comment.
second
----
ok
`);
  expect(renderScript(rewritten, ['new\noutput\n', 'ok\n'])).toBe(rewritten);
});

test('a command without a separator is an error that names the line', () => {
  expect(() => directivesOf('# x\nlonely\n')).toThrow('line 2');
});
