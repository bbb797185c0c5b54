/** LocalityLoadBalancerSetting of a DestinationRule or of the mesh. */
import { fieldsOf, listOf, numberOf, stringOf, stringsOf } from "../model/read-fields.ts";
import type { Findings } from "./findings.ts";

const topologyLabels: ReadonlySet<string> = new Set([
  "topology.kubernetes.io/region",
  "topology.kubernetes.io/zone",
  "topology.istio.io/subzone",
]);

export function expectLocalityLb(findings: Findings, path: string, value: unknown, hasOutlier: boolean): void {
  if (value === undefined) return;
  const setting = fieldsOf(value);
  const distribute = listOf(setting["distribute"]).map(fieldsOf);
  const failover = listOf(setting["failover"]).map(fieldsOf);
  const priority = stringsOf(setting["failoverPriority"]);
  if (distribute.length > 0 && failover.length > 0)
    findings.refuse(path, "distribute and failover exclude each other.");
  const topology = priority.find((label) => topologyLabels.has(label));
  if (failover.length > 0 && topology !== undefined) {
    findings.refuse(`${path}.failoverPriority`, `${topology} can't stand beside failover: both decide by region.`);
  }
  expectLocalities(
    findings,
    `${path}.distribute`,
    distribute.map((item) => stringOf(item["from"]) ?? ""),
  );
  for (const [index, item] of distribute.entries()) {
    const at = `${path}.distribute[${index}].to`;
    const shares = Object.entries(fieldsOf(item["to"]));
    let total = 0;
    for (const [locality, share] of shares) {
      const weight = numberOf(share) ?? 0;
      if (weight <= 0 || weight > 100)
        findings.refuse(`${at}[${JSON.stringify(locality)}]`, `must be from 1 to 100, found ${weight}.`);
      total += weight;
    }
    if (total !== 100) findings.refuse(at, `the shares must add up to 100, they add up to ${total}.`);
    expectLocalities(
      findings,
      at,
      shares.map(([locality]) => locality),
    );
  }
  for (const [index, item] of failover.entries()) {
    const [from, to] = [stringOf(item["from"]) ?? "", stringOf(item["to"]) ?? ""];
    const at = `${path}.failover[${index}]`;
    if (from === to) findings.refuse(at, "from and to must be different regions.");
    if (`${from}${to}`.includes("*")) findings.refuse(at, "regions can't hold wildcards.");
  }
  const isEnabled = setting["enabled"] !== false;
  if ((failover.length > 0 || priority.length > 0) && isEnabled && !hasOutlier) {
    findings.warn(path, "failover works only with outlierDetection in the same policy (rule of the API).");
  }
}

/** `region/zone/subzone`, a `*` only at the very end, none covering another. */
function expectLocalities(findings: Findings, path: string, localities: readonly string[]): void {
  for (const [index, locality] of localities.entries()) {
    const stars = locality.split("*").length - 1;
    if (stars > 1 || (stars === 1 && !locality.endsWith("*"))) {
      findings.refuse(path, `${locality}: a \`*\` may stand only once, at the end.`);
    }
    if (locality.split("/").includes(""))
      findings.refuse(path, `${JSON.stringify(locality)} has an empty part; write region/zone/subzone.`);
    for (const other of localities.slice(index + 1)) {
      if (covers(locality, other)) findings.refuse(path, `${other} is never used: ${locality} before it covers it.`);
    }
  }
}

function covers(wide: string, narrow: string): boolean {
  const prefix = wide.endsWith("*") ? wide.slice(0, -1) : `${wide}/`;
  return wide === narrow || wide === "*" || narrow.startsWith(prefix);
}
