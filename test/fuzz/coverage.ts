/** Which code has run, block by block, as V8 counts it. */
import { Session, type Profiler } from "node:inspector";

/** Blocks that ran since the last call, each as a text of its own. */
export interface Coverage {
  take(): readonly string[];
  stop(): void;
}

/** Counts from here on, in files whose address is like `sources`. One at a time in a process. */
export function startCoverage(sources: RegExp): Coverage {
  const session = new Session();
  session.connect();
  session.post("Profiler.enable");
  session.post("Profiler.startPreciseCoverage", { callCount: true, detailed: true });
  const take = (): readonly string[] => {
    let found: readonly Profiler.ScriptCoverage[] = [];
    session.post("Profiler.takePreciseCoverage", (_error, { result }) => (found = result));
    return found.filter(({ url }) => sources.test(url) && !url.includes("/node_modules/")).flatMap(blocksOf);
  };
  return {
    take,
    stop() {
      session.post("Profiler.stopPreciseCoverage");
      session.disconnect();
    },
  };
}

function blocksOf({ url, functions }: Profiler.ScriptCoverage): readonly string[] {
  return functions.flatMap(({ ranges }) =>
    ranges.filter(({ count }) => count > 0).map(({ startOffset, endOffset }) => `${url}:${startOffset}-${endOffset}`),
  );
}
