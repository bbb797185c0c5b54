/** istiod's own validation of every object, as messages. */
import type { AnalyzedKind } from "../analyzed-object.ts";
import type { Analyzer } from "../analyzer.ts";
import { isMessageCode, type MessageCode } from "../messages.ts";
import { validateSemantics } from "../../validate/validate-object.ts";

const kinds: readonly AnalyzedKind[] = [
  "AuthorizationPolicy",
  "DestinationRule",
  "EnvoyFilter",
  "Gateway",
  "PeerAuthentication",
  "ProxyConfig",
  "RequestAuthentication",
  "ServiceEntry",
  "Sidecar",
  "Telemetry",
  "TrafficExtension",
  "VirtualService",
  "WasmPlugin",
  "WorkloadEntry",
  "WorkloadGroup",
];

/** One analyzer a kind. What is only a note to us is no message of Istio's. */
export const schemaValidations: readonly Analyzer[] = kinds.map((kind) => ({
  name: `schema.ValidationAnalyzer.${kind}`,
  description: `istiod accepts each ${kind}`,
  inputs: [kind],
  analyze(context) {
    for (const item of context.all(kind)) {
      for (const problem of validateSemantics(item.object)) {
        const code = codeOf(problem.code, problem.level);
        if (code === undefined) continue;
        const at = problem.path === "" ? "" : `${problem.path}: `;
        context.report(code, item, `${at}${problem.message}`);
      }
    }
  },
}));

function codeOf(code: string, level: "error" | "warning" | "info"): MessageCode | undefined {
  if (isMessageCode(code)) return code;
  if (level === "error") return "IST0106";
  return level === "warning" ? "IST0133" : undefined;
}
