import { type Check, type Finding, missing, ok } from './check.ts';

/** The addon, and what each backend of it lacks here. It is loaded now and not before: everything else works without. */
export async function backendChecks(): Promise<Check[]> {
  const about = 'the addon of @usrdrv/native';
  const native = await loadNative();
  if (native === undefined) {
    return [{ id: 'addon', about, ...missing('@usrdrv/native is not installed', 'npm install @usrdrv/native') }];
  }
  const backends = native.surveyBackends().map(({ backend, shortfall }) => ({
    id: `backend-${backend}`,
    about: `the backend ${backend}`,
    ...(shortfall === undefined ? ok('it can be used') : missing(shortfall.reason, shortfall.remedy)),
  }));
  return [{ id: 'addon', about, ...addon(() => new native.LinuxKernel('none')) }, ...backends];
}

function addon(load: () => Disposable): Finding {
  try {
    load()[Symbol.dispose]();
    return ok(`loaded by Node ${process.version}`);
  } catch (error) {
    if (!(error instanceof Error)) throw error;
    return missing(error.message, 'npm rebuild @usrdrv/native, with python3, make and g++');
  }
}

async function loadNative() {
  try {
    return await import('@usrdrv/native');
  } catch (error) {
    if (error instanceof Error && 'code' in error && error.code === 'ERR_MODULE_NOT_FOUND') return undefined;
    throw error;
  }
}
