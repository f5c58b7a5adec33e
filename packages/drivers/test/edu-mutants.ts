/** A small mistake in the driver of edu, which can be told from the original: what a file says, and what it says instead. */
export interface Mutant {
  readonly what: string;
  /** Below packages/drivers/src/edu. */
  readonly file: string;
  readonly from: string;
  readonly to: string;
  /** The scenario that shows it after a single deviation; left out where a calm run does. */
  readonly shows?: string;
}

const DRIVER = 'driver.ts';
const HARDWARE = 'hardware.ts';

export const MUTANTS: readonly Mutant[] = [
  {
    what: 'a transfer that fails unmaps its memory and does not stop the device',
    file: DRIVER,
    from: '    } catch (error) {\n      this.#hardware.stop();\n      throw error;',
    to: '    } catch (error) {\n      throw error;',
    shows: 'edu-abort',
  },
  {
    what: 'stopping does not take the device off the bus',
    file: HARDWARE,
    from: 'config.write16(PCI_COMMAND, config.read16(PCI_COMMAND) & ~PCI_COMMAND_MASTER);',
    to: 'config.read16(PCI_COMMAND);',
    shows: 'edu-abort',
  },
  {
    what: 'interrupts are not acknowledged',
    file: HARDWARE,
    from: 'if (status !== 0) interruptAcknowledge.write(status);',
    to: '',
  },
  {
    what: 'interrupts are acknowledged before it is known what they are for',
    file: HARDWARE,
    from: 'const status = this.present(interruptStatus.read());',
    to: 'interruptAcknowledge.write(ALL_ONES);\n    const status = this.present(interruptStatus.read());',
  },
  {
    what: 'interrupts are acknowledged, but for those that say that it is done',
    file: HARDWARE,
    from: 'if (status !== 0) interruptAcknowledge.write(status);',
    to: 'if (status !== 0 && (status & 0x101) === 0) interruptAcknowledge.write(status);',
  },
  {
    what: 'the interrupt is taken for the one that is waited for',
    file: DRIVER,
    from: 'done: (status & bit) !== 0 && !this.#hardware.busy() };',
    to: 'done: fired };',
    shows: 'edu-factorial',
  },
  {
    what: 'the timeout is forgotten',
    file: DRIVER,
    from: 'timeoutMs: this.#msLeft(turn), ...turn.wait',
    to: 'timeoutMs: Number.POSITIVE_INFINITY, ...turn.wait',
    shows: 'edu-factorial',
  },
  {
    what: 'the signal is forgotten',
    file: DRIVER,
    from: 'timeoutMs: this.#msLeft(turn), ...turn.wait',
    to: 'timeoutMs: this.#msLeft(turn)',
    shows: 'edu-abort',
  },
  {
    what: 'a timeout is no error',
    file: DRIVER,
    from: "throw this.#hardware.error('ETIMEDOUT', turn.name, 'the device stalled');",
    to: 'return;',
    shows: 'edu-factorial',
  },
  { what: 'operations do not wait for their turn', file: DRIVER, from: 'await this.#mutex.lock(signal);', to: '' },
  {
    what: 'the turn is not handed on after a failure',
    file: DRIVER,
    from: '} finally {\n      this.#mutex.unlock();\n    }',
    to: '}\n    this.#mutex.unlock();\n    throw new Error();',
  },
  {
    what: 'a device that was stopped stays off the bus',
    file: DRIVER,
    from: 'if (this.#hardware.stopped) await this.#restart(turn);',
    to: '',
    shows: 'edu-abort',
  },
  {
    what: 'a device that was stopped is put back on the bus while it is busy',
    file: DRIVER,
    from: 'while (hardware.busy()) {',
    to: 'while (false) {',
    shows: 'edu-abort',
  },
  {
    what: 'restarting forgets bus mastering',
    file: HARDWARE,
    from: 'config.read16(PCI_COMMAND) | PCI_COMMAND_MASTER',
    to: 'config.read16(PCI_COMMAND)',
    shows: 'edu-abort',
  },
  {
    what: 'a refusal of the bus goes unnoticed',
    file: HARDWARE,
    from: "if (this.#refused()) throw this.error('EIO', operation, 'the bus refused the device access to memory');",
    to: '',
    shows: 'edu-dma',
  },
  {
    what: 'a refusal of the bus is noticed for ever',
    file: HARDWARE,
    from: 'config.write16(PCI_STATUS, aborts);',
    to: '',
    shows: 'edu-dma',
  },
  {
    what: 'the length is not checked',
    file: DRIVER,
    from: 'offset + length > size',
    to: 'offset > size',
  },
  {
    what: 'the result is not looked at: all ones may be nobody',
    file: HARDWARE,
    from: 'return this.present(this.#registers.factorial.read());',
    to: 'return this.#registers.factorial.read();',
    shows: 'edu-factorial',
  },
  {
    what: 'the count is written last',
    file: HARDWARE,
    from: 'dmaCount.write(length);\n    dmaCommand.write({ run: true, direction, interruptWhenDone: true });',
    to: 'dmaCommand.write({ run: true, direction, interruptWhenDone: true });\n    dmaCount.write(length);',
  },
  { what: 'the second segment goes where the first went', file: DRIVER, from: 'at += length;', to: '' },
  {
    what: 'a transfer asks for no interrupt',
    file: HARDWARE,
    from: 'direction, interruptWhenDone: true });',
    to: 'direction, interruptWhenDone: false });',
  },
  {
    what: 'probe takes a device over that is still busy',
    file: HARDWARE,
    from: 'if (this.busy()) this.stop();',
    to: '',
    shows: 'edu-remove',
  },
  {
    what: 'an operation that was pending at remove() is not told so',
    file: DRIVER,
    from: '      // Whatever it ran into when the driver was removed meanwhile.\n      this.#checkBound(name);\n',
    to: '',
    shows: 'edu-remove',
  },
  {
    what: 'streaming memory is never unmapped',
    file: DRIVER,
    from: '      this.#mapping.unmap();\n      this.#mapping = undefined;',
    to: '',
  },
];
