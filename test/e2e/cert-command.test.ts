/** `glassmesh cert` beside a running mesh. */
import { existsSync, mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { deployment, service, testMesh, type TestMesh } from "./mesh.ts";

const ID = "spiffe://cluster.local/ns/default/sa/echo";

describe("glassmesh cert", () => {
  let mesh: TestMesh;
  const directory = mkdtempSync(join(tmpdir(), "glassmesh-cert-"));
  const file = (name: string): string => join(directory, name);

  beforeAll(async () => {
    mesh = await testMesh({ "mesh.yaml": deployment("echo") + service("echo") });
  });

  afterAll(() => rmSync(directory, { recursive: true }));

  test("issue: what the CA gives for the workload's token is a valid SVID, by cert verify too", async () => {
    const issued = await mesh.run(
      "cert",
      "issue",
      "--workload",
      "echo.default",
      "--ttl",
      "10m",
      "--out",
      file("echo.pem"),
    );
    expect(issued).toMatchObject({ code: 0, out: "", err: expect.stringContaining(ID) });
    expect(statSync(file("echo.pem")).mode & 0o777).toBe(0o600);
    expect(readFileSync(file("echo.pem"), "utf8")).toMatch(/^-----BEGIN PRIVATE KEY/);
    const { out: roots } = await mesh.run("cert", "roots", "-o", "pem");
    writeFileSync(file("roots.pem"), roots);
    const verified = await mesh.run("cert", "verify", file("echo.pem"), "--roots", file("roots.pem"));
    expect([verified.code, verified.out]).toEqual([0, expect.stringContaining(`${ID} is a valid SVID`)]);

    const { out: jwks } = await mesh.run("cert", "roots", "-o", "jwks");
    writeFileSync(file("bundle.json"), jwks);
    const argv = ["cert", "verify", file("echo.pem"), "--roots", file("bundle.json")];
    expect((await mesh.run(...argv)).code).toBe(0);
    const foreign = await mesh.run(...argv, "--trust-domain", "else.org");
    expect([foreign.code, foreign.out]).toEqual([
      1,
      expect.stringMatching(/^FAIL {2}the trust domain is the expected/m),
    ]);
  });

  test("a file that is there is not replaced", async () => {
    writeFileSync(file("mine"), "mine");
    const { code, err } = await mesh.run("cert", "issue", "--workload", "echo", "--out", file("mine"));
    expect([code, err]).toEqual([2, expect.stringContaining("A file that is there is not replaced")]);
    expect(readFileSync(file("mine"), "utf8")).toBe("mine");
  });

  test("show: a file, and what a proxy holds", async () => {
    const { out } = await mesh.run("cert", "issue", "--workload", "echo");
    writeFileSync(file("shown.pem"), out);
    const shown = await mesh.run("cert", "show", file("shown.pem"));
    expect(shown.out).toMatch(new RegExp(`^0: leaf\\n {2}names {4}${ID}[^]*1: root`));
    const held = await mesh.run("cert", "show", "echo.default");
    expect(held.out).toMatch(new RegExp(`^shows ${ID}\\n {2}serial .*\\n {2}valid .* s left\\)$`, "m"));
    expect(held.out).toMatch(/^trusts /m);
    const json = await mesh.run("cert", "show", "echo", "-o", "json");
    expect(JSON.parse(json.out)).toMatchObject(expect.arrayContaining([expect.objectContaining({ names: [ID] })]));
  });

  test("export: PKCS#12 for what wants it", async () => {
    const argv = ["cert", "export", "--workload", "echo", "-o", "p12"];
    expect((await mesh.run(...argv, "--out", file("echo.p12"))).code).toBe(2);
    expect(existsSync(file("echo.p12"))).toBe(false);
    expect((await mesh.run(...argv, "--password", "secret", "--out", file("echo.p12"))).code).toBe(0);
    const { createSecureContext } = await import("node:tls");
    expect(createSecureContext({ pfx: readFileSync(file("echo.p12")), passphrase: "secret" })).toBeDefined();
  });

  test.each([
    [["cert"], /cert takes one of show, verify, issue, export, roots, rotate-root/],
    [["cert", "issue"], /--workload NAME\.NAMESPACE/],
    [["cert", "issue", "--workload", "nobody"], /there is no workload "nobody"/],
    [["cert", "issue", "--workload", "echo", "--key", "dsa"], /--key takes ec or rsa/],
    [["cert", "issue", "--workload", "echo", "--ttl", "9000h"], /this CA signs for/],
    [["cert", "verify", "nothing.pem", "--roots", "nothing.pem"], /nothing\.pem can't be read/],
    [["cert", "rotate-root", "--prepare", "--finish"], /exactly one of --prepare, --switch and --finish/],
    [["cert", "rotate-root", "--switch"], /no root is prepared/],
  ])("%j is refused with the way out", async (argv, message) => {
    expect(await mesh.run(...argv)).toMatchObject({ code: 2, err: expect.stringMatching(message) });
  });
});
