import { cpSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { openSelfSignedRoot } from "#certs/ca-files.ts";
import { rotateRoot } from "#certs/root-rotation.ts";
import { simulatedRuntime, type SimulatedRuntime } from "#lib/simulated-runtime.ts";
import { openAuthority, type OpenedAuthority } from "./certificate-authority-of.ts";

let directory: string;
let runtime: SimulatedRuntime;
let opened: OpenedAuthority;
let changes: number;

/** The layout that Istio calls `cacerts`, of a self-signed root. */
async function cacerts(name: string): Promise<string> {
  const path = join(directory, name);
  await openSelfSignedRoot(path, "example.org", runtime.clock.now());
  for (const file of ["root-cert.pem", "cert-chain.pem"]) cpSync(join(path, "ca-cert.pem"), join(path, file));
  return path;
}

async function open(caCertsDirectory?: string): Promise<void> {
  opened = await openAuthority(runtime, {
    stateDirectory: join(directory, "state"),
    caCertsDirectory,
    trustDomain: "example.org",
    onChange: () => void changes++,
  });
}

beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), "glassmesh-authority-"));
  runtime = simulatedRuntime();
  changes = 0;
});

afterEach(async () => {
  await opened.close();
  rmSync(directory, { recursive: true, force: true });
});

const SETTLED_MS = 3000;

describe("the CA's files while the control plane runs", () => {
  test("each step of a rotation of the self-signed root is followed", async () => {
    await open();
    const signers = [opened.authority().signer];
    const counts = [opened.authority().roots.length];
    for (const step of ["prepare", "switch", "finish"] as const) {
      // oxlint-disable-next-line no-await-in-loop
      await rotateRoot(join(directory, "state"), step, runtime.clock.now());
      // oxlint-disable-next-line no-await-in-loop
      await runtime.advance(SETTLED_MS + 15_000);
      signers.push(opened.authority().signer);
      counts.push(opened.authority().roots.length);
    }
    expect(counts).toEqual([1, 2, 2, 1]);
    expect(signers.map((signer) => signers.indexOf(signer))).toEqual([0, 0, 2, 2]);
    expect(opened.problems()).toEqual([]);
  });

  test("a plugged-in CA that is replaced is taken; several roots in root-cert.pem are all trusted", async () => {
    const [one, two] = [await cacerts("one"), await cacerts("two")];
    await open(one);
    const { signer } = opened.authority();
    const both = readFileSync(join(one, "root-cert.pem"), "utf8") + readFileSync(join(two, "root-cert.pem"), "utf8");
    writeFileSync(join(one, "root-cert.pem"), both);
    await runtime.advance(SETTLED_MS);
    expect([opened.authority().signer === signer, opened.authority().roots.length]).toEqual([true, 2]);
    for (const file of ["ca-cert.pem", "ca-key.pem", "cert-chain.pem"]) cpSync(join(two, file), join(one, file));
    await runtime.advance(SETTLED_MS);
    expect([opened.authority().signer === signer, opened.authority().roots.length]).toEqual([false, 2]);
    expect(changes).toBeGreaterThanOrEqual(2);
  });

  test("a set that does not hold together is refused by name, the old one signs, and the mended one is taken", async () => {
    const [one, two] = [await cacerts("one"), await cacerts("two")];
    await open(one);
    const { signer } = opened.authority();
    cpSync(join(two, "ca-cert.pem"), join(one, "ca-cert.pem"));
    await runtime.advance(SETTLED_MS);
    expect(opened.authority().signer).toBe(signer);
    expect(opened.problems()).toMatchObject([
      { code: "ca-key-mismatch", level: "error", message: expect.stringContaining(join(one, "ca-key.pem")) },
    ]);
    for (const file of ["ca-key.pem", "cert-chain.pem", "root-cert.pem"]) cpSync(join(two, file), join(one, file));
    await runtime.advance(SETTLED_MS + 30_000);
    expect(opened.authority().signer).not.toBe(signer);
    expect(opened.problems()).toEqual([]);
  });

  test("files that are taken away are no reason to stop, nor to make a new root", async () => {
    await open();
    const { signer } = opened.authority();
    rmSync(join(directory, "state", "ca-cert.pem"));
    rmSync(join(directory, "state", "ca-key.pem"));
    await runtime.advance(60_000);
    expect(opened.authority().signer).toBe(signer);
    expect(opened.problems()).toMatchObject([{ code: "ca-file-missing" }]);
  });
});
