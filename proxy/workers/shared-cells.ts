/**
 * Numbers that all threads of a process count in together. A name finds the same cells in every thread without asking
 * anybody: the table itself lies in shared memory, and a place in it is taken by one atomic exchange.
 */
import { MeshError } from "#lib/problem.ts";
import { xxHash64 } from "#lib/xxhash64.ts";

/** Cells by name, the same ones in each thread; zero at first. They are never given back. */
export interface SharedCells {
  /** `CELLS_PER_NAME` of them. Throws a `MeshError` `shared-cells-full`. */
  of(name: string): Int32Array;
}

export const CELLS_PER_NAME = 16;

/** Names of one process, those that are gone included: three for a cluster, one for a listener and for a log file. */
const DEFAULT_PLACES = 1 << 16;
const KEY_BYTES = 8;
const CELL_BYTES = 4;

/** The memory of one process, to be handed to each of its threads. The system gives pages only to what is used. */
export function createSharedMemory(places: number = DEFAULT_PLACES): SharedArrayBuffer {
  return new SharedArrayBuffer(places * (KEY_BYTES + CELLS_PER_NAME * CELL_BYTES));
}

/** This thread's view of the memory. */
export function openSharedCells(memory: SharedArrayBuffer): SharedCells {
  const places = memory.byteLength / (KEY_BYTES + CELLS_PER_NAME * CELL_BYTES);
  const keys = new BigInt64Array(memory, 0, places);
  return {
    of(name) {
      // Zero is a free place.
      const key = BigInt.asIntN(64, xxHash64(Buffer.from(name, "utf8").toString("latin1"))) || 1n;
      let place = Number(BigInt.asUintN(32, key)) % places;
      for (let tried = 0; tried < places; tried++) {
        const there = Atomics.compareExchange(keys, place, 0n, key);
        if (there === 0n || there === key)
          return new Int32Array(memory, places * KEY_BYTES + place * CELLS_PER_NAME * CELL_BYTES, CELLS_PER_NAME);
        place = (place + 1) % places;
      }
      throw new MeshError(
        "shared-cells-full",
        `there is no room for the process-wide counts of '${name}': ${places} names were in use since the start; start the proxy anew, or with --concurrency 1`,
      );
    },
  };
}
