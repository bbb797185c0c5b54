/** A real Envoy accepts what translation makes, for a proxy that says it has a stock Envoy's extensions. */
import { execFileSync } from "node:child_process";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { needEnvoy } from "../needs.ts";
import { bootstrapOf } from "./envoy-bootstrap.ts";
import { readGolden } from "./golden.ts";

const envoy = needEnvoy();
if (envoy.missing !== undefined) process.stderr.write(`tests with a real Envoy are skipped: ${envoy.missing}\n`);

/** Between them they hold every construct. */
const CASES = [
  "authorization-placed-on-another-port",
  "authorization-without-the-filter",
  "gateway-authorization",
  "gateway-auto-passthrough",
  "gateway-bind",
  "gateway-chain-conflict",
  "gateway-claims",
  "gateway-hosts",
  "gateway-https-redirect",
  "gateway-passthrough-repeated-sni",
  "gateway-tcp",
  "gateway-tls-credentials",
  "gateway-tls-files",
  "gateway-tls-parameters",
  "gateway-topology",
  "gateway-without-routes",
  "mesh-access-log-json",
  "placed-listeners",
  "rule-21-without-headers",
  "rule-25-weighted-headers",
  "rule-27-redirects",
  "rule-27-unknown-redirect-code",
  "rule-31-mirrors",
  "rule-32-faults",
  "rule-33-cors",
  "rule-37-tcp-routes",
  "rule-37-tls-routes",
  "rule-45-maglev-and-source-ip",
  "rule-46-warm-up",
  "rule-48-distribute",
  "rule-50-connection-pool",
  "rule-53-outlier-detection",
  "rule-55-port-level",
  "rule-59-simple-tls",
  "rule-64-actions-in-order",
  "rule-65-without-rules",
  "rule-67-http-fields-on-tcp",
  "rule-67-nothing-left-on-tcp",
  "rule-68-request-principals",
  "rule-70-namespaces-and-service-accounts",
  "rule-71-operations",
  "rule-72-addresses",
  "rule-76-dry-run",
  "rule-80-conditions",
  "rule-86-headless",
  "rule-92-workload-entries",
  "security-policy-on-tcp-denies",
];

describe.skipIf(envoy.missing !== undefined)("envoy --mode validate", () => {
  let directory = "";
  beforeAll(() => {
    directory = mkdtempSync(join(tmpdir(), "glassmesh-validate-"));
  });
  afterAll(() => rmSync(directory, { recursive: true, force: true }));

  const validate = (bootstrap: object): string => {
    const file = join(directory, "bootstrap.json");
    writeFileSync(file, JSON.stringify(bootstrap));
    try {
      execFileSync(envoy.path, ["--mode", "validate", "-c", file, "-l", "error"], { encoding: "utf8", stdio: "pipe" });
      return "";
    } catch (error) {
      return String((error as { readonly stderr?: unknown }).stderr ?? error);
    }
  };

  test.each(CASES)("accepts %s", (name) => {
    const { snapshot } = readGolden(fileURLToPath(new URL(`${name}/in.yaml`, import.meta.url)));
    const writable = JSON.stringify(bootstrapOf(snapshot)).replaceAll("/var/log/calls", join(directory, "calls"));
    expect(validate(JSON.parse(writable) as object)).toBe("");
  });

  test("refuses a field that it does not know", () => {
    expect(validate({ staticResources: { clusters: [{ name: "a", nonsense: 1 }] } })).toContain("nonsense");
  });
});
