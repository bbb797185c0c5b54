/** Rules with what each outcome counts and leaves behind, worked out when configuration arrives. */
import type { HeaderMap } from "../http/header-map.ts";
import type { Counter, StatsScope } from "../observability/stats.ts";
import type { StreamInfo } from "../stream-info.ts";
import type { RbacPolicy, RbacRules } from "./engine.ts";

/** What the rules say of one request. */
export interface Verdict {
  readonly isAllowed: boolean;
  /** `rbac_access_denied_matched_policy[…]` */
  readonly details: string;
  /** Shared by all requests of the same outcome: never changed. */
  readonly metadata: Readonly<Record<string, unknown>>;
  /** `access_log_hint` of LOG rules. */
  readonly logHint: Readonly<Record<string, unknown>> | undefined;
  readonly counters: readonly Counter[];
}

export interface JudgeOptions {
  readonly rules: RbacRules;
  readonly isShadow: boolean;
  /** `http.<stat_prefix>.rbac.` and what the rules' stat prefix adds. */
  readonly scope: StatsScope;
  /** Before `engine_result` and `effective_policy_id` in metadata. */
  readonly keyPrefix: string;
  readonly countsPolicies: boolean;
}

interface JudgedPolicy {
  readonly matches: RbacPolicy["matches"];
  readonly verdict: Verdict;
}

export class Judge {
  readonly #policies: readonly JudgedPolicy[];
  readonly #none: Verdict;

  constructor(options: JudgeOptions) {
    this.#policies = options.rules.policies.map((policy) => ({
      matches: policy.matches,
      verdict: verdictOf(options, policy),
    }));
    this.#none = verdictOf(options, undefined);
    countersOf(options, undefined, true);
    countersOf(options, undefined, false);
  }

  judge(headers: HeaderMap, info: StreamInfo): Verdict {
    for (const { matches, verdict } of this.#policies) if (matches(headers, info)) return verdict;
    return this.#none;
  }
}

/** Adds the outcome to the counters. */
export function count(verdict: Verdict): void {
  for (const counter of verdict.counters) counter.inc();
}

/** Writes fields into a namespace of the dynamic metadata, keeping others that are there. */
export function leaveMetadata(info: StreamInfo, namespace: string, fields: Readonly<Record<string, unknown>>): void {
  info.dynamicMetadata ??= new Map();
  const before = info.dynamicMetadata.get(namespace);
  info.dynamicMetadata.set(namespace, before === undefined ? fields : { ...before, ...fields });
}

function verdictOf(options: JudgeOptions, matched: RbacPolicy | undefined): Verdict {
  const { rules, isShadow, keyPrefix } = options;
  const isAllowed = rules.action === "log" || (rules.action === "allow") === (matched !== undefined);
  const kind = isShadow ? "shadow" : "enforced";
  return {
    isAllowed,
    // An access log has its fields parted by blanks.
    details: `rbac_access_denied_matched_policy[${(matched?.name ?? "none").replace(/\s/g, "_")}]`,
    metadata: {
      ...(matched !== undefined && { [`${keyPrefix}${kind}_effective_policy_id`]: matched.name }),
      [`${keyPrefix}${kind}_engine_result`]: isAllowed ? "allowed" : "denied",
    },
    logHint: rules.action === "log" && !isShadow ? { access_log_hint: matched !== undefined } : undefined,
    counters: countersOf(options, matched, isAllowed),
  };
}

function countersOf(options: JudgeOptions, matched: RbacPolicy | undefined, isAllowed: boolean): readonly Counter[] {
  const { scope, isShadow, countsPolicies } = options;
  const name = `${isShadow ? "shadow_" : ""}${isAllowed ? "allowed" : "denied"}`;
  const total = scope.counter(name);
  if (!countsPolicies || matched === undefined) return [total];
  return [total, scope.counter(`policy.${matched.name}.${name}`)];
}
