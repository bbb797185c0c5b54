/** Conditions as istiod writes them: what holds, or the one error that stands against it. */
import type { Condition } from "../model/gateway-status.ts";
import type { MeshObject } from "../model/object.ts";

/** Why something is not as wanted: a reason of the Gateway API, and a sentence. */
export interface StatusError {
  readonly reason: string;
  readonly message: string;
}

export interface WantedCondition extends StatusError {
  /** When all is well; `Conflicted` is False then. */
  readonly status?: "True" | "False";
  /** Turns the status over, and says why. */
  readonly error?: StatusError | undefined;
}

/** Sorted by type. Objects without a generation are in their first. */
export function conditionsOf(
  object: MeshObject,
  wanted: Readonly<Record<string, WantedCondition | undefined>>,
): readonly Condition[] {
  const result: Condition[] = [];
  for (const type of Object.keys(wanted).toSorted()) {
    const item = wanted[type];
    if (item === undefined) continue;
    const { status: good = "True", error } = item;
    const { reason, message } = error ?? item;
    const status = error === undefined ? good : good === "True" ? "False" : "True";
    result.push({ type, status, reason, message, observedGeneration: object.metadata.generation ?? 1 });
  }
  return result;
}

/** The first error with the words of both. */
export function joinedErrors(first: StatusError | undefined, second: StatusError | undefined): StatusError | undefined {
  if (first === undefined || second === undefined) return first ?? second;
  return { reason: first.reason, message: `${first.message}; ${second.message}` };
}

/** `a`, `a and b`, `a, b, and c` */
export function inWords(items: readonly string[]): string {
  if (items.length <= 2) return items.join(" and ");
  return `${items.slice(0, -1).join(", ")}, and ${items.at(-1) ?? ""}`;
}
