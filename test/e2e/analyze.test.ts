import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { runCommand } from "#cli/main.ts";

interface Ran {
  readonly code: number;
  readonly out: string;
  readonly err: string;
}

let directory = "";

beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), "analyze-"));
});

afterEach(() => rmSync(directory, { recursive: true, force: true }));

const write = (file: string, text: string): void => {
  mkdirSync(dirname(join(directory, file)), { recursive: true });
  writeFileSync(join(directory, file), text);
};

async function run(...argv: readonly string[]): Promise<Ran> {
  let out = "";
  let err = "";
  const code = await runCommand(argv, {
    cwd: directory,
    env: { TERM: "dumb" },
    out: (text) => void (out += text),
    err: (text) => void (err += text),
  });
  return { code, out, err };
}

const virtualService = (subset: string, extra = ""): string => `# the canary
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata:
  name: reviews
  namespace: shop
${extra}spec:
  hosts: [reviews]
  http:
    - route:
        - destination:
            host: reviews
            subset: ${subset}
`;
const destinationRule = `apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata: { name: reviews, namespace: shop }
spec:
  host: reviews
  subsets: [{ name: v1, labels: { version: v1 } }]
`;

describe("glassmesh analyze", () => {
  test("good manifests, in a directory with others, give nothing and 0", async () => {
    write("mesh/deep/vs.yaml", virtualService("v1"));
    write("mesh/dr.yml", destinationRule);
    write("mesh/notes.txt", "nothing of ours");
    const { code, out, err } = await run("analyze", "-A", "mesh");
    expect({ code, out }).toEqual({ code: 0, out: "" });
    expect(err).toMatch(/Skipping file mesh\/notes\.txt/);
    expect(err).toMatch(
      /✔ No validation issues found when analyzing:\n {2}- mesh\/deep\/vs\.yaml\n {2}- mesh\/dr\.yml/,
    );
  });

  test("a finding has its code, origin and line, and ends with 79", async () => {
    write("vs.yaml", virtualService("v2"));
    const { code, out } = await run("analyze", "--all-namespaces", "--use-kube=false", "vs.yaml");
    expect(code).toBe(79);
    expect(out).toMatch(/^Error \[IST0101\] \(VirtualService shop\/reviews vs\.yaml:12\) .*"reviews\+v2".*\n$/);
  });

  test("JSON and YAML have the keys that scripts read, and end with 0", async () => {
    write("vs.yaml", virtualService("v2"));
    const json = await run("analyze", "-A", "-o", "json", "vs.yaml");
    expect(json.code).toBe(0);
    expect(JSON.parse(json.out)).toEqual([
      {
        code: "IST0101",
        documentationUrl: expect.stringMatching(/analysis\/ist0101\//) as string,
        level: "Error",
        message: expect.any(String) as string,
        origin: "VirtualService shop/reviews",
        reference: "vs.yaml:12",
      },
    ]);
    const yaml = await run("analyze", "-A", "--output=YAML", "vs.yaml");
    expect(yaml.out).toMatch(/^- code: IST0101\n/);
    expect((await run("analyze", "-n", "other", "-o", "json", "vs.yaml")).out).toBe("[]\n");
  });

  test("thresholds decide on the exit code and on what is shown, each by itself", async () => {
    write(
      "dr.yaml",
      destinationRule.replace("  host: reviews\n", "  host: reviews\n  trafficPolicy: { tls: { mode: SIMPLE } }\n"),
    );
    const plain = await run("analyze", "-A", "dr.yaml");
    expect(plain.code).toBe(0);
    expect(plain.out).toMatch(/Warning \[IST0128\]/);
    expect((await run("analyze", "-A", "--failure-threshold=warning", "dr.yaml")).code).toBe(79);
    const quiet = await run("analyze", "-A", "--failure-threshold", "Info", "--output-threshold", "Error", "dr.yaml");
    expect(quiet).toMatchObject({ code: 79, out: "" });
  });

  test("findings are left out by flag, by annotation, and outside of the namespace", async () => {
    write("vs.yaml", virtualService("v2"));
    expect((await run("analyze", "-A", "-S", "IST0101=VirtualService shop/rev*", "vs.yaml")).code).toBe(0);
    expect((await run("analyze", "-A", "-S", "IST0101=VirtualService other/*", "vs.yaml")).code).toBe(79);
    expect((await run("analyze", "-A", "-S", "IST0102=VirtualService shop/*", "vs.yaml")).code).toBe(79);
    expect((await run("analyze", "vs.yaml")).code).toBe(0);
    expect((await run("analyze", "-n", "shop", "vs.yaml")).code).toBe(79);
    write(
      "quiet.yaml",
      virtualService("v2", `  annotations: { galley.istio.io/analyze-suppress: "IST0109,IST0101" }\n`),
    );
    expect((await run("analyze", "-A", "quiet.yaml")).code).toBe(0);
    const unknown = await run("analyze", "-A", "-S", "IST9=x", "vs.yaml");
    expect(unknown).toMatchObject({ code: 79, err: expect.stringMatching(/there is no code IST9/) as string });
  });

  test("colours on demand only", async () => {
    write("vs.yaml", virtualService("v2"));
    const colored = await run("analyze", "-A", "--color", "vs.yaml");
    expect(colored.out.startsWith("\u001B[1;31mError\u001B[0m [IST0101]")).toBe(true);
    expect((await run("analyze", "-A", "--color=false", "vs.yaml")).out).toMatch(/^Error/);
  });

  test("a document that can't be read is 65, and loses none of the others", async () => {
    write("broken.yaml", `kind: [\n---\n${virtualService("v1")}---\n${destinationRule}`);
    const broken = await run("analyze", "-A", "broken.yaml");
    expect(broken).toMatchObject({ code: 65, err: expect.stringMatching(/broken\.yaml:[12]:\d+/) as string });
    expect((await run("analyze", "-A", "--ignore-unknown", "broken.yaml")).code).toBe(0);
    write(
      "types.yaml",
      virtualService("v1").replace("hosts: [reviews]", "hosts: reviews") + `---\n${virtualService("v3")}`,
    );
    const types = await run("analyze", "-A", "types.yaml");
    expect(types.err).toMatch(/spec\.hosts: must be a list, found the string "reviews"/);
    expect(types).toMatchObject({ code: 79, out: expect.stringMatching(/reviews\+v3/) as string });
  });

  test.each([
    [["-o", "xml", "x"], /-o takes log, json or yaml/],
    [["--failure-threshold", "Fatal", "x"], /takes Error, Warning, Info/],
    [["--suppress", "IST0101", "x"], /takes CODE=RESOURCE/],
    [["--analyzer", "no.such", "x"], /there is no analyzer "no\.such"/],
    [["--use-kube=true", "x"], /no cluster to ask/],
    [["--nonsense"], /nonsense/],
    [[], /name files or directories/],
  ])("misuse is 64: %j", async (flags, expected) => {
    const { code, err } = await run("analyze", ...flags);
    expect(code).toBe(64);
    expect(err).toMatch(expected);
  });

  test("a path that is not there is 1", async () => {
    expect(await run("analyze", "none.yaml")).toMatchObject({
      code: 1,
      err: expect.stringMatching(/none\.yaml can't be read: it does not exist/) as string,
    });
  });

  test("--complete takes the files for the whole mesh", async () => {
    write("vs.yaml", virtualService("v1"));
    write("dr.yaml", destinationRule);
    const { code, out } = await run("analyze", "-A", "--complete", "vs.yaml", "dr.yaml");
    expect(code).toBe(79);
    expect(out).toMatch(/\[IST0101\] \(VirtualService shop\/reviews vs\.yaml:12\) routes to the host "reviews"/);
    expect(out).toMatch(/\[IST0174\] \(DestinationRule shop\/reviews dr\.yaml:1\)/);
  });

  test("the shop of the examples is a whole mesh without findings", async () => {
    const shop = fileURLToPath(new URL("../../examples/shop", import.meta.url));
    expect(await run("analyze", "--complete", shop)).toMatchObject({ code: 0, out: "" });
    expect(await run("validate", "-q", "-f", shop)).toMatchObject({ code: 0, out: "" });
  });

  test("-L lists the analyzers by their names in Istio; -v says which ran", async () => {
    const list = await run("analyze", "-L");
    expect(list.out).toMatch(/^\* virtualservice\.GatewayAnalyzer:$/m);
    write("dr.yaml", destinationRule);
    const { err } = await run("analyze", "-v", "--analyzer", "virtualservice.GatewayAnalyzer", "dr.yaml");
    expect(err).toMatch(/Executed analyzers:\n\t virtualservice\.GatewayAnalyzer\n\n/);
  });

  test("the mesh's configuration counts", async () => {
    const telemetry = `apiVersion: telemetry.istio.io/v1\nkind: Telemetry\nmetadata: { name: logs }\nspec: { accessLogging: [{ disabled: false }] }\n`;
    write("telemetry.yaml", telemetry);
    write("mesh.yaml", "defaultProviders: { accessLogging: [envoy] }\n");
    expect((await run("analyze", "telemetry.yaml")).out).toMatch(/IST0157/);
    expect((await run("analyze", "--meshConfigFile", "mesh.yaml", "telemetry.yaml")).out).toBe("");
  });
});

describe("glassmesh validate", () => {
  test("what is fine is 0, with a count on stderr", async () => {
    write("vs.yaml", virtualService("v1"));
    expect(await run("validate", "-f", "vs.yaml")).toEqual({ code: 0, out: "", err: "1 object: 1 valid\n" });
    expect((await run("v", "--quiet", "-f", "vs.yaml")).err).toBe("");
  });

  test("what the schema or istiod refuses is a line with file, line and column, and 1", async () => {
    write(
      "vs.yaml",
      virtualService("v1").replace("    - route:", "    - timeout: 0s\n      tiemout: 1s\n      route:"),
    );
    const { code, out, err } = await run("validate", "-f", "vs.yaml");
    expect(code).toBe(1);
    expect(out.split("\n").toSorted()).toEqual([
      "",
      expect.stringMatching(
        /^error {3}vs\.yaml:10:7: VirtualService shop\/reviews spec\.http\[0\]\.timeout: must be at least 1ms/,
      ),
      expect.stringMatching(/^error {3}vs\.yaml:11:7: .*unknown field tiemout; did you mean timeout\?$/),
    ]);
    expect(err).toMatch(/1 object: 0 valid, 1 refused: VirtualService shop\/reviews/);
  });

  test("JSON tells istiod's verdict and the schema's apart", async () => {
    write("vs.yaml", virtualService("v1").replace("    - route:", "    - tiemout: 1s\n      route:"));
    const { code, out } = await run("validate", "-o", "json", "-f", "vs.yaml");
    expect(code).toBe(1);
    expect(JSON.parse(out)).toMatchObject([
      { kind: "VirtualService", name: "reviews", line: 2, accepted: true, errors: [], schemaErrors: [{ line: 10 }] },
    ]);
  });

  test("a warning is said, and is no refusal", async () => {
    const policy = `  trafficPolicy: { outlierDetection: { consecutiveErrors: 3 } }\n`;
    write("dr.yaml", destinationRule + policy);
    const { code, out } = await run("validate", "-f", "dr.yaml");
    expect(code).toBe(0);
    expect(out).toMatch(/^warning dr\.yaml:7:\d+: DestinationRule shop\/reviews .*consecutiveErrors/);
  });

  test("what can't be read is 1; nothing to read is misuse", async () => {
    write("broken.yaml", "kind: [\n");
    expect((await run("validate", "-f", "broken.yaml")).code).toBe(1);
    expect((await run("validate")).code).toBe(2);
  });

  test("a mesh configuration is checked, too", async () => {
    write("mesh.yaml", "enableTracin: true\n");
    const { code, err } = await run("validate", "--meshConfigFile", "mesh.yaml");
    expect(err).toMatch(/mesh\.yaml:1:1: .*enableTracin.*did you mean enableTracing/);
    expect(code).toBe(0);
    write("mesh.yaml", "enableTracing: [\n");
    expect((await run("validate", "--meshConfigFile", "mesh.yaml")).code).toBe(1);
  });
});
