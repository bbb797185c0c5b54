/** `envoy.filters.http.rbac`: who may ask for what; refused requests get 403. */
import type { Message } from "@bufbuild/protobuf";
import type { Parsed, Problem } from "#lib/problem.ts";
import type { RBAC, RBACPerRoute } from "#protos/gen/envoy/extensions/filters/http/rbac/v3/rbac_pb.js";
import { MessageReader } from "#protos/reader.ts";
import type { StatsScope } from "../../observability/stats.ts";
import { parseRbacRules, type RbacRules } from "../../rbac/engine.ts";
import { count, Judge, leaveMetadata } from "../../rbac/judge.ts";
import type { FilterStatus, FilterStream, HttpFilter, HttpFilterFactory } from "../filter.ts";
import type { HeaderMap } from "../header-map.ts";

export interface RbacConfig {
  /** Absent: nothing is enforced. Without policies: nothing is allowed (or denied, as its action says). */
  readonly rules: RbacRules | undefined;
  readonly rulesStatPrefix: string;
  /** Tried, counted and written down, but not enforced. */
  readonly shadowRules: RbacRules | undefined;
  readonly shadowRulesStatPrefix: string;
  readonly countsPolicies: boolean;
}

export const rbac: HttpFilterFactory<RbacConfig, RbacConfig> = {
  name: "envoy.filters.http.rbac",
  typeUrls: ["type.googleapis.com/envoy.extensions.filters.http.rbac.v3.RBAC"],
  routeTypeUrls: ["type.googleapis.com/envoy.extensions.filters.http.rbac.v3.RBACPerRoute"],
  parse(message, path) {
    const problems: Problem[] = [];
    return parsed(parseConfig(new MessageReader(message as RBAC, path, problems)), problems);
  },
  parseRoute(message, path) {
    const problems: Problem[] = [];
    const reader = new MessageReader(message as RBACPerRoute, path, problems);
    const config = reader.child("rbac");
    reader.finish();
    return parsed(config === undefined ? NOTHING : parseConfig(config), problems);
  },
  create(config, { scope }, name) {
    const own = judgesOf(config, scope);
    const ofRoutes = new WeakMap<RbacConfig, Judges>();
    return (stream) => new RbacFilter(stream, name, own, ofRoutes, scope);
  },
};

/** A route may switch the filter off. */
const NOTHING: RbacConfig = {
  rules: undefined,
  rulesStatPrefix: "",
  shadowRules: undefined,
  shadowRulesStatPrefix: "",
  countsPolicies: false,
};

const NAMESPACE = "envoy.filters.http.rbac";
const COMMON_NAMESPACE = "envoy.common";

function parsed(value: RbacConfig, problems: readonly Problem[]): Parsed<RbacConfig> {
  return problems.length > 0 ? { problems } : { value, problems };
}

/** `matcher` and `shadow_matcher` are refused by name. */
function parseConfig(reader: MessageReader<RBAC & Message>): RbacConfig {
  const rules = reader.child("rules");
  const shadowRules = reader.child("shadowRules");
  const config: RbacConfig = {
    rules: rules === undefined ? undefined : parseRbacRules(rules),
    rulesStatPrefix: reader.get("rulesStatPrefix"),
    shadowRules: shadowRules === undefined ? undefined : parseRbacRules(shadowRules),
    shadowRulesStatPrefix: reader.get("shadowRulesStatPrefix"),
    countsPolicies: reader.get("trackPerRuleStats"),
  };
  reader.finish();
  return config;
}

interface Judges {
  readonly enforced: Judge | undefined;
  readonly shadow: Judge | undefined;
}

function judgesOf(config: RbacConfig, parent: StatsScope): Judges {
  const scope = parent.scope("rbac");
  const { rules, shadowRules, countsPolicies } = config;
  const judge = (from: RbacRules | undefined, isShadow: boolean, keyPrefix: string): Judge | undefined =>
    from === undefined
      ? undefined
      : new Judge({
          rules: from,
          isShadow,
          scope: keyPrefix === "" ? scope : scope.scope(keyPrefix.replace(/\.$/, "")),
          keyPrefix,
          countsPolicies,
        });
  return {
    enforced: judge(rules, false, config.rulesStatPrefix),
    shadow: judge(shadowRules, true, config.shadowRulesStatPrefix),
  };
}

class RbacFilter implements HttpFilter {
  readonly #stream: FilterStream;
  readonly #name: string;
  readonly #own: Judges;
  readonly #ofRoutes: WeakMap<RbacConfig, Judges>;
  readonly #scope: StatsScope;

  constructor(
    stream: FilterStream,
    name: string,
    own: Judges,
    ofRoutes: WeakMap<RbacConfig, Judges>,
    scope: StatsScope,
  ) {
    this.#stream = stream;
    this.#name = name;
    this.#own = own;
    this.#ofRoutes = ofRoutes;
    this.#scope = scope;
  }

  decodeHeaders(headers: HeaderMap): FilterStatus {
    const { info } = this.#stream;
    const { enforced, shadow } = this.#judges();
    if (shadow !== undefined) {
      const verdict = shadow.judge(headers, info);
      count(verdict);
      leaveMetadata(info, NAMESPACE, verdict.metadata);
    }
    if (enforced === undefined) return "continue";
    const verdict = enforced.judge(headers, info);
    count(verdict);
    leaveMetadata(info, NAMESPACE, verdict.metadata);
    if (verdict.logHint !== undefined) leaveMetadata(info, COMMON_NAMESPACE, verdict.logHint);
    if (verdict.isAllowed) return "continue";
    this.#stream.sendLocalReply({ status: 403, body: "RBAC: access denied", details: verdict.details });
    return "stop";
  }

  /** A route's own rules take the place of the filter's. */
  #judges(): Judges {
    const config = this.#stream.routeConfig<RbacConfig>(this.#name);
    if (config === undefined) return this.#own;
    let judges = this.#ofRoutes.get(config);
    if (judges === undefined) {
      judges = judgesOf(config, this.#scope);
      this.#ofRoutes.set(config, judges);
    }
    return judges;
  }
}
