/** Handlers that remember what they heard, for tests. */
import type { Problem } from "#lib/problem.ts";
import type { RejectedResource, ResourceWatcher, WildcardHandler, XdsResource } from "../types.ts";
import type { SubscriptionStats } from "../subscription-stats.ts";

export interface RecordingWildcard extends WildcardHandler {
  /** `+name@version`, `-name`, `timeout`; one list a call. */
  readonly heard: string[][];
  refuse: ReadonlySet<string>;
  /** Runs inside each `onUpdate`. */
  during: (() => void) | undefined;
}

const refusal: Problem = { code: "invalid-value", level: "error", path: "x", message: "is not to our taste" };

export function recordingWildcard(stats?: SubscriptionStats): RecordingWildcard {
  const heard: string[][] = [];
  return {
    heard,
    stats,
    refuse: new Set(),
    during: undefined,
    onUpdate(added: readonly XdsResource[], removed: readonly string[]): readonly RejectedResource[] {
      const refused = added.filter(({ name }) => this.refuse.has(name));
      const taken = added.filter(({ name }) => !this.refuse.has(name));
      heard.push([...taken.map(({ name, version }) => `+${name}@${version}`), ...removed.map((name) => `-${name}`)]);
      this.during?.();
      return refused.map(({ name }) => ({ name, problems: [refusal] }));
    },
    onFetchTimeout: () => void heard.push(["timeout"]),
  };
}

export interface RecordingWatcher extends ResourceWatcher {
  /** `+version`, `removed`, `timeout`, `rejected: reasons`. */
  readonly heard: string[];
  refuses: boolean;
}

export function recordingWatcher(stats?: SubscriptionStats): RecordingWatcher {
  const heard: string[] = [];
  return {
    heard,
    stats,
    refuses: false,
    onResource({ version }) {
      if (this.refuses) return [refusal];
      heard.push(`+${version}`);
      return [];
    },
    onAbsent: (reason) => void heard.push(reason),
    onRejected: (problems) => void heard.push(`rejected: ${problems.map(({ message }) => message).join("; ")}`),
  };
}
