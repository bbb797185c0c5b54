/** `envoy.filters.network.rbac`: which connections may be used; refused ones are closed. */
import type { Message } from "@bufbuild/protobuf";
import type { Parsed, Problem } from "#lib/problem.ts";
import type { Timer } from "#lib/runtime.ts";
import type { Permission, Principal, RBAC as Rules } from "#protos/gen/envoy/config/rbac/v3/rbac_pb.js";
import type { RBAC } from "#protos/gen/envoy/extensions/filters/network/rbac/v3/rbac_pb.js";
import { MessageReader } from "#protos/reader.ts";
import { durationMs } from "../config-values.ts";
import { HeaderMap } from "../http/header-map.ts";
import type { StatsScope } from "../observability/stats.ts";
import { parseRbacRules, type RbacRules } from "../rbac/engine.ts";
import { count, Judge, leaveMetadata, type Verdict } from "../rbac/judge.ts";
import type { ConnectionFilter, DownstreamConnection, NetworkFilterContext, NetworkFilterFactory } from "./filter.ts";
import { FilteredConnection } from "./filtered-connection.ts";

export interface NetworkRbacConfig {
  readonly rules: RbacRules | undefined;
  readonly shadowRules: RbacRules | undefined;
  readonly shadowRulesStatPrefix: string;
  /** With its dot: `tcp.` */
  readonly statPrefix: string;
  /** Judged anew with every chunk; else once. */
  readonly isContinuous: boolean;
  /** How long a refused connection is left hanging before it is closed, ms. */
  readonly delayDenyMs: number;
}

export const networkRbac: NetworkFilterFactory<NetworkRbacConfig> = {
  name: "envoy.filters.network.rbac",
  typeUrls: ["type.googleapis.com/envoy.extensions.filters.network.rbac.v3.RBAC"],
  isTerminal: false,
  parse: parseNetworkRbac,
  create(config, context) {
    const judges = judgesOf(config, context.rootScope);
    return (downstream) => new ConnectionJudgement(config, judges, downstream, context);
  },
};

/** `matcher` and `shadow_matcher` are refused by name. */
function parseNetworkRbac(message: Message, path: string): Parsed<NetworkRbacConfig> {
  const problems: Problem[] = [];
  const reader = new MessageReader(message as RBAC, path, problems);
  const rules = reader.child("rules");
  const shadowRules = reader.child("shadowRules");
  const value: NetworkRbacConfig = {
    rules: rules === undefined ? undefined : parseRules(rules),
    shadowRules: shadowRules === undefined ? undefined : parseRules(shadowRules),
    shadowRulesStatPrefix: reader.get("shadowRulesStatPrefix"),
    statPrefix: reader.get("statPrefix"),
    isContinuous: reader.get("enforcementType") === 1,
    delayDenyMs: durationMs(reader.get("delayDeny")) ?? 0,
  };
  if (value.statPrefix === "") reader.invalid("statPrefix", "must be set");
  reader.finish();
  return problems.length > 0 ? { problems } : { value, problems };
}

/** A connection has no headers: rules about them are a mistake, as for Envoy. */
function parseRules(reader: MessageReader<Rules>): RbacRules | undefined {
  for (const [name, { permissions, principals }] of Object.entries(reader.message.policies)) {
    if (permissions.some(asksPermission) || principals.some(asksPrincipal)) {
      const path = `${reader.at("policies")}["${name}"]`;
      const message = "asks for a header, which a connection has not";
      reader.problems.push({ code: "unsupported-field", level: "error", path, message });
    }
  }
  return parseRbacRules(reader);
}

function asksPermission({ rule }: Permission): boolean {
  switch (rule.case) {
    case "header":
      return true;
    case "andRules":
    case "orRules":
      return rule.value.rules.some(asksPermission);
    case "notRule":
      return asksPermission(rule.value);
    default:
      return false;
  }
}

function asksPrincipal({ identifier }: Principal): boolean {
  switch (identifier.case) {
    case "header":
      return true;
    case "andIds":
    case "orIds":
      return identifier.value.ids.some(asksPrincipal);
    case "notId":
      return asksPrincipal(identifier.value);
    default:
      return false;
  }
}

interface Judges {
  readonly enforced: Judge | undefined;
  readonly shadow: Judge | undefined;
}

function judgesOf(config: NetworkRbacConfig, root: StatsScope): Judges {
  const { rules, shadowRules, shadowRulesStatPrefix: prefix } = config;
  const scope = root.scope(config.statPrefix.replace(/\.$/, "")).scope("rbac");
  return {
    enforced: rules && new Judge({ rules, isShadow: false, scope, keyPrefix: "", countsPolicies: false }),
    shadow:
      shadowRules &&
      new Judge({
        rules: shadowRules,
        isShadow: true,
        scope: prefix === "" ? scope : scope.scope(prefix.replace(/\.$/, "")),
        keyPrefix: prefix,
        countsPolicies: false,
      }),
  };
}

const NAMESPACE = "envoy.filters.network.rbac";

/**
 * One connection, judged at its first byte. Differs from Envoy: that of the server counts too, so that a server that
 * speaks first tells a refused client nothing.
 */
class ConnectionJudgement implements ConnectionFilter {
  readonly #config: NetworkRbacConfig;
  readonly #judges: Judges;
  readonly #downstream: DownstreamConnection;
  readonly #context: NetworkFilterContext;
  /** TCP has no headers, and no path: what asks for one does not match. */
  readonly #headers = new HeaderMap();
  #isShadowed = false;
  #isAllowed: boolean | undefined = undefined;
  #closing: Timer | undefined = undefined;

  constructor(
    config: NetworkRbacConfig,
    judges: Judges,
    downstream: DownstreamConnection,
    context: NetworkFilterContext,
  ) {
    this.#config = config;
    this.#judges = judges;
    this.#downstream = downstream;
    this.#context = context;
  }

  onNewConnection(): "continue" {
    return "continue";
  }

  onRead(chunk: Buffer): Buffer | undefined {
    return this.#passes() ? chunk : undefined;
  }

  onWrite(chunk: Buffer): Buffer | undefined {
    return this.#passes() ? chunk : undefined;
  }

  onClose(): void {
    this.#closing?.cancel();
  }

  #passes(): boolean {
    if (this.#isAllowed === false) return false;
    if (this.#isAllowed === true && !this.#config.isContinuous) return true;
    const { info } = this.#downstream;
    const { shadow, enforced } = this.#judges;
    if (shadow !== undefined && (!this.#isShadowed || this.#config.isContinuous)) {
      this.#isShadowed = true;
      const verdict = shadow.judge(this.#headers, info);
      count(verdict);
      leaveMetadata(info, NAMESPACE, verdict.metadata);
    }
    const verdict = enforced?.judge(this.#headers, info);
    if (verdict !== undefined) count(verdict);
    if (verdict?.logHint !== undefined) leaveMetadata(info, "envoy.common", verdict.logHint);
    this.#isAllowed = verdict?.isAllowed !== false;
    if (verdict !== undefined && !verdict.isAllowed) this.#refuse(verdict);
    else if (!this.#config.isContinuous) this.#stepAside();
    return this.#isAllowed;
  }

  #refuse(verdict: Verdict): void {
    const { info, connection } = this.#downstream;
    const { delayDenyMs } = this.#config;
    info.connectionTerminationDetails = verdict.details;
    if (delayDenyMs === 0) {
      connection.destroy();
      return;
    }
    connection.pause();
    this.#closing = this.#context.runtime.clock.wheel.schedule(delayDenyMs, () => connection.destroy());
  }

  /** Nothing more to say: bytes pass without us. */
  #stepAside(): void {
    const { connection } = this.#downstream;
    if (connection instanceof FilteredConnection) connection.release(this);
  }
}
