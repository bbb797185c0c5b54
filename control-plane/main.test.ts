/** The control plane as a real process. */
import { spawn, type ChildProcess } from "node:child_process";
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, test, vi } from "vitest";

const main = join(import.meta.dirname, "main.ts");
const WAIT = { timeout: 20_000, interval: 20 };

interface Ports {
  readonly http: number;
  readonly monitoring: number;
  readonly secureGrpc: number;
}

describe("control-plane/main.ts", () => {
  let directory = "";
  let child: ChildProcess | undefined;
  let stderr = "";
  let stdout = "";

  beforeEach(() => {
    directory = mkdtempSync(join(tmpdir(), "cp-"));
    mkdirSync(join(directory, "mesh"));
    writeFileSync(join(directory, "mesh", "service.yaml"), service("a"));
    stderr = "";
    stdout = "";
  });

  afterEach(async () => {
    if (child?.exitCode === null && child.signalCode === null) {
      child.kill("SIGKILL");
      await ended();
    }
    rmSync(directory, { recursive: true, force: true });
  });

  const service = (name: string): string =>
    `apiVersion: v1\nkind: Service\nmetadata: { name: ${name} }\nspec: { ports: [{ name: http, port: 80 }] }\n`;

  const start = (...args: readonly string[]): void => {
    child = spawn(process.execPath, [main, ...args], { cwd: directory, stdio: ["ignore", "pipe", "pipe"] });
    child.stderr?.on("data", (chunk) => (stderr += String(chunk)));
    child.stdout?.on("data", (chunk) => (stdout += String(chunk)));
  };
  const ended = (): Promise<number | null> =>
    new Promise((resolve) => {
      if (child === undefined || child.exitCode !== null) resolve(child?.exitCode ?? null);
      else child.once("close", resolve);
    });
  const anyPorts = ["--http-port", "0", "--monitoring-port", "0", "--secure-grpc-port", "0"];
  const running = async (...args: readonly string[]): Promise<Ports> => {
    start("-f", "mesh", "--state-dir", "state", "--ports-file", "ports.json", ...anyPorts, ...args);
    const file = join(directory, "ports.json");
    await vi.waitFor(() => {
      if (child?.exitCode !== null) throw new Error(stderr);
      expect(existsSync(file)).toBe(true);
    }, WAIT);
    return JSON.parse(readFileSync(file, "utf8")) as Ports;
  };
  const get = async (port: number, path: string): Promise<string> =>
    (await fetch(`http://127.0.0.1:${port}${path}`)).text();

  test("starts, serves, reloads, and ends in order at SIGTERM", async () => {
    const { http, monitoring } = await running();
    expect(await get(http, "/ready")).toBe("ready\n");
    expect(JSON.parse(await get(http, "/version"))).toMatchObject({ version: "0.1.0" });
    expect(await get(http, "/debug/registryz")).toMatch(/a\.default\.svc\.cluster\.local/);
    expect(await get(monitoring, "/metrics")).toMatch(/^pilot_services 1$/m);
    writeFileSync(join(directory, "mesh", "b.yaml"), service("b"));
    await vi.waitFor(async () => expect(await get(monitoring, "/metrics")).toMatch(/^pilot_services 2$/m), WAIT);
    expect(statSync(join(directory, "state", "ca-key.pem")).mode & 0o777).toBe(0o600);
    child?.kill("SIGTERM");
    expect(await ended()).toBe(0);
    expect(stderr).not.toMatch(/rror/);
  });

  test("events tell what was refused, by file, line and field, and that the rest goes on", async () => {
    const { http } = await running();
    const lines: string[] = [];
    const abort = new AbortController();
    const response = await fetch(`http://127.0.0.1:${http}/debug/events`, { signal: abort.signal });
    const reading = (async () => {
      const decoder = new TextDecoder();
      for await (const chunk of response.body ?? [])
        lines.push(
          ...decoder
            .decode(chunk as Uint8Array)
            .trim()
            .split("\n"),
        );
    })().catch(() => undefined);
    await vi.waitFor(() => expect(lines).toHaveLength(1), WAIT);
    expect(JSON.parse(lines[0] ?? "")).toMatchObject({ type: "config", accepted: true, problems: [] });
    writeFileSync(
      join(directory, "mesh", "vs.yaml"),
      "apiVersion: networking.istio.io/v1\nkind: VirtualService\nmetadata: { name: a }\nspec:\n  hosts: [a]\n  http:\n    - timeout: 5\n      route: [{ destination: { host: a } }]\n",
    );
    await vi.waitFor(() => expect(lines).toHaveLength(2), WAIT);
    expect(JSON.parse(lines[1] ?? "")).toMatchObject({
      type: "config",
      accepted: false,
      problems: [
        {
          level: "error",
          text: "mesh/vs.yaml:7:7: VirtualService default/a spec.http[0].timeout: must be a string, found a number (5).",
          line: 7,
        },
      ],
    });
    abort.abort();
    await reading;
  });

  test("a mesh configuration file counts, and is followed", async () => {
    writeFileSync(join(directory, "mesh.yaml"), "connectTimeout: 3s\n");
    const { http } = await running("--mesh-config", "mesh.yaml", "--trust-domain", "td.example");
    expect(JSON.parse(await get(http, "/debug/mesh"))).toMatchObject({
      connectTimeout: "3s",
      trustDomain: "td.example",
    });
    writeFileSync(join(directory, "mesh.yaml"), "connectTimeout: 4s\n");
    await vi.waitFor(
      async () => expect(JSON.parse(await get(http, "/debug/mesh"))).toMatchObject({ connectTimeout: "4s" }),
      WAIT,
    );
  });

  test("keeps its root between starts", async () => {
    await running();
    const first = readFileSync(join(directory, "state", "ca-cert.pem"), "utf8");
    child?.kill("SIGTERM");
    await ended();
    rmSync(join(directory, "ports.json"));
    await running();
    expect(readFileSync(join(directory, "state", "ca-cert.pem"), "utf8")).toBe(first);
  });

  test.each([
    ["a flag that is none", ["--htp-port", "1"], /unknown flag --htp-port; did you mean --http-port\?/],
    [
      "a port that is none",
      ["-f", "mesh", "--http-port", "99999"],
      /--http-port takes a port from 0 to 65535.*"99999"/,
    ],
    ["a flag without its value", ["-f"], /-f/],
    ["no manifests", [], /no manifests: name a file or directory with -f/],
    ["a stray word", ["mesh"], /mesh/],
    [
      "a lifetime that is none",
      ["-f", "mesh", "--workload-cert-ttl", "long"],
      /--workload-cert-ttl takes a time.*"long"/,
    ],
    [
      "a log level that is none",
      ["-f", "mesh", "--log-level", "warn"],
      /--log-level warn is none; did you mean warning\?/,
    ],
    [
      "an issuer that is asked in plaintext",
      ["-f", "mesh", "--token-issuer", "http://issuer.example", ...anyPorts],
      /--token-issuer: "http:\/\/issuer\.example" is no https/,
    ],
    [
      "an API server without its CA",
      ["-f", "mesh", "--token-review", "https://10.96.0.1", "--token-review-ca", "no.crt", ...anyPorts],
      /no\.crt can't be read/,
    ],
    ["a missing path", ["-f", "none", ...anyPorts], /none does not exist; name a file or a directory/],
    [
      "a missing mesh configuration",
      ["-f", "mesh", "--mesh-config", "no.yaml", ...anyPorts],
      /no\.yaml does not exist/,
    ],
    [
      "a missing directory of certificates",
      ["-f", "mesh", "--cacerts", "nowhere", "--state-dir", "s", ...anyPorts],
      /nowhere.*ca-cert\.pem, ca-key\.pem/,
    ],
    [
      "a bad trust domain",
      ["-f", "mesh", "--trust-domain", "UP", "--state-dir", "s", ...anyPorts],
      /trust domain "UP" has upper-case/,
    ],
    [
      "an address of nobody",
      ["-f", "mesh", "--address", "203.0.113.7", "--state-dir", "s", ...anyPorts],
      /203\.0\.113\.7 is no address of this machine.*--address/,
    ],
  ])("%s is misuse: exit code 2 and the way out", async (_, args, expected) => {
    start(...args);
    expect(await ended()).toBe(2);
    expect(stderr).toMatch(expected);
    expect(stderr).toMatch(/^glassmesh control-plane: /m);
    expect(stderr).not.toMatch(/\n\s+at /);
  });

  test.each(["--http-port", "--monitoring-port", "--secure-grpc-port"])(
    "a port in use (%s) is named, with the flag",
    async (flag) => {
      const server = createServer();
      await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
      const address = server.address();
      const port = typeof address === "object" && address !== null ? address.port : 0;
      start("-f", "mesh", "--state-dir", "state", ...anyPorts, flag, String(port));
      expect(await ended()).toBe(2);
      expect(stderr).toMatch(new RegExp(`127\\.0\\.0\\.1:${port} is in use.*${flag}`));
      await new Promise((resolve) => server.close(resolve));
    },
  );

  test("--help and --version answer on stdout", async () => {
    start("--help");
    expect(await ended()).toBe(0);
    expect(stdout).toMatch(/--state-dir DIR/);
    start("--version");
    expect(await ended()).toBe(0);
    expect(stdout).toMatch(/0\.1\.0\n$/);
  });
});
