// Imports point down only. Each rule says why in its comment; depcruise prints it with a violation.
const portable = '^packages/(core|emu|drivers|conformance)/src';
const tests = '[.](test|test-d)[.]ts$';

/** Sources of one package may reach themselves and what `allowed` matches; their tests may reach more. */
function only(name, allowed, comment) {
  const own = `^packages/${name}/src/`;
  return {
    name: `${name}-imports`,
    severity: 'error',
    comment,
    from: { path: own, pathNot: tests },
    to: { pathNot: [own, ...allowed] },
  };
}

const scenarios = '^packages/drivers/src/[^/]+/scenarios[.]ts$';
const core = '^packages/core/src/index[.]ts$';
const npm = (name) => `(^|/)node_modules/${name}/`;

module.exports = {
  forbidden: [
    only('core', [], 'core is the contract that everything else shares; whatever it imported, everything would carry.'),
    {
      ...only(
        'emu',
        [core, npm('@jsonjoy.com/fs-core')],
        'emu models a machine and kernel from core and the heart of memfs alone, so that it runs anywhere.',
      ),
      from: { path: '^packages/emu/src/', pathNot: [tests, '^packages/emu/src/testing/'] },
    },
    {
      name: 'emu-testing-imports',
      severity: 'error',
      comment: 'emu/testing may also use fast-check, its optional peer; who imports it need not have vitest.',
      from: { path: '^packages/emu/src/testing/', pathNot: [tests, '^packages/emu/src/testing/vitest[.]ts$'] },
      to: { pathNot: ['^packages/emu/src/(?!testing/vitest[.]ts$)', core, npm('fast-check')] },
    },
    {
      name: 'emu-testing-vitest-imports',
      severity: 'error',
      comment: 'emu/testing/vitest may also use vitest, its optional peer; who imports it need not have fast-check.',
      from: { path: '^packages/emu/src/testing/vitest[.]ts$' },
      to: { pathNot: ['^packages/emu/src/(?!testing/(?:index|arbitraries|property)[.]ts$)', core, npm('vitest')] },
    },
    {
      name: 'emu-does-not-import-its-testing',
      severity: 'error',
      comment: 'Who imports emu has no fast-check and no vitest.',
      from: { path: '^packages/emu/src/', pathNot: [tests, '^packages/emu/src/testing/'] },
      to: { path: '^packages/emu/src/testing/' },
    },
    {
      ...only('drivers', [core], 'A driver that knows its backend runs on that one only.'),
      from: { path: '^packages/drivers/src/', pathNot: [tests, scenarios] },
    },
    {
      name: 'driver-scenarios-imports',
      severity: 'error',
      comment: 'Scenarios are for the emulated machine, an optional peer; no driver imports them.',
      from: { path: scenarios },
      to: { pathNot: ['^packages/drivers/src/', core, '^packages/emu/src/index[.]ts$'] },
    },
    {
      name: 'drivers-do-not-import-scenarios',
      severity: 'error',
      comment: 'Who imports a driver need not have emu.',
      from: { path: '^packages/drivers/src/', pathNot: tests },
      to: { path: scenarios },
    },
    only('conformance', [core, npm('fast-check')], 'The suite is the same for every backend and every test runner.'),
    {
      name: 'native-imports',
      severity: 'error',
      comment: 'native and emu both implement core; neither knows the other.',
      from: { path: '^packages/native/src/', pathNot: tests },
      to: { path: '^packages/(?!native/|core/src/(?:index|backend-parts)[.]ts$)' },
    },
    {
      name: 'portable-without-node',
      severity: 'error',
      comment: 'core, emu, drivers and conformance run in a browser.',
      from: { path: portable, pathNot: tests },
      to: { dependencyTypes: ['core'] },
    },
    {
      name: 'packages-by-their-door',
      severity: 'error',
      comment: 'Another package is reached by its name, through what it exports: that is what its users get.',
      from: { path: '^(packages/[^/]+|examples|test)/' },
      to: { path: '^packages/[^/]+/', pathNot: '^$1/', dependencyTypes: ['local'] },
    },
    {
      name: 'no-import-of-tests',
      severity: 'error',
      comment: 'A test is nobody’s source.',
      from: {},
      to: { path: tests },
    },
    {
      name: 'no-circle',
      severity: 'error',
      comment: 'Files that import each other at run time are one file, or one of them is in the wrong place.',
      from: {},
      to: { circular: true, viaOnly: { dependencyTypesNot: ['type-only'] } },
    },
    {
      name: 'resolvable',
      severity: 'error',
      comment: 'What is imported exists and is listed in the package.json of who imports it.',
      from: {},
      to: { couldNotResolve: true },
    },
  ],
  options: {
    exclude: { path: '/dist/|^examples/[.]snippets/' },
    doNotFollow: { path: 'node_modules' },
    tsPreCompilationDeps: true,
    tsConfig: { fileName: 'tsconfig.json' },
    enhancedResolveOptions: {
      exportsFields: ['exports'],
      conditionNames: ['usrdrv-source', 'import', 'types', 'node', 'default'],
      extensions: ['.ts', '.js', '.mjs', '.cjs', '.d.ts'],
    },
  },
};
