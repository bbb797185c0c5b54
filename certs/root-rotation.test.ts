import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { openSelfSignedRoot, readSelfSignedRoot } from "./ca-files.ts";
import { rotateRoot, type RotationStep } from "./root-rotation.ts";
import { NOW_MS } from "./test-certificates.ts";

let directory: string;

beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), "glassmesh-rotation-"));
});

afterEach(() => {
  rmSync(directory, { recursive: true, force: true });
});

const rotate = (step: RotationStep) => rotateRoot(directory, step, NOW_MS);
const material = () => readSelfSignedRoot(directory, "example.org", NOW_MS).material;

describe("rotation of a self-signed root", () => {
  test("each step leaves a directory that the CA can sign with", async () => {
    const { material: first } = await openSelfSignedRoot(directory, "example.org", NOW_MS);
    const old = first.certificate.sha256;

    const prepared = await rotate("prepare");
    expect(material().certificate.sha256).toBe(old);
    const [next] = prepared.others.map(({ sha256 }) => sha256);
    expect(material().roots.map(({ sha256 }) => sha256)).toEqual([old, next]);
    expect(statSync(join(directory, "ca-key.next.pem")).mode & 0o777).toBe(0o600);

    await rotate("switch");
    expect(material().certificate.sha256).toBe(next);
    expect(material().roots.map(({ sha256 }) => sha256)).toEqual([next, old]);

    await rotate("finish");
    expect(material().roots.map(({ sha256 }) => sha256)).toEqual([next]);
    expect(readdirSync(directory).toSorted()).toEqual(["ca-cert.pem", "ca-key.pem"]);
    // A start finds what the rotation left.
    expect((await openSelfSignedRoot(directory, "example.org", NOW_MS)).material.certificate.sha256).toBe(next);
  });

  test.each<[string, readonly RotationStep[], RotationStep, RegExp]>([
    ["a switch before it is prepared", [], "switch", /no root is prepared in .*Begin with --prepare/],
    ["a finish of nothing", [], "finish", /holds one root: there is nothing to finish/],
    ["a finish before the switch", ["prepare"], "finish", /does not sign yet. Go on with --switch/],
    ["a second prepare", ["prepare"], "prepare", /a root is prepared already. Go on with --switch/],
    ["a prepare before the finish", ["prepare", "switch"], "prepare", /still holds 2 roots. End the rotation before/],
    ["a second switch", ["prepare", "switch"], "switch", /no root is prepared/],
  ])("%s is refused, and nothing changes", async (_, done, step, message) => {
    await openSelfSignedRoot(directory, "example.org", NOW_MS);
    for (const one of done) {
      // oxlint-disable-next-line no-await-in-loop
      await rotate(one);
    }
    const files = (): unknown => readdirSync(directory).map((name) => readFileSync(join(directory, name), "utf8"));
    const before = files();
    await expect(rotate(step)).rejects.toMatchObject({
      code: "rotation-order",
      message: expect.stringMatching(message),
    });
    expect(files()).toEqual(before);
  });

  test("a prepare that broke off after the key, and a switch that broke off before its end, are taken up again", async () => {
    await openSelfSignedRoot(directory, "example.org", NOW_MS);
    const nextKey = join(directory, "ca-key.next.pem");
    const certificates = readFileSync(join(directory, "ca-cert.pem"), "utf8");
    await rotate("prepare");
    const prepared = readFileSync(nextKey, "utf8");
    writeFileSync(join(directory, "ca-cert.pem"), certificates);
    await rotate("prepare");
    expect(readFileSync(nextKey, "utf8")).toBe(prepared);
    const { signer } = await rotate("switch");
    writeFileSync(nextKey, prepared);
    expect((await rotate("switch")).signer.sha256).toBe(signer.sha256);
    expect(existsSync(nextKey)).toBe(false);
  });

  test("a directory without a root, and a key of another root, are refused by name", async () => {
    await expect(rotate("prepare")).rejects.toMatchObject({ code: "ca-file-missing" });
    await openSelfSignedRoot(directory, "example.org", NOW_MS);
    const other = mkdtempSync(join(tmpdir(), "glassmesh-rotation-"));
    await openSelfSignedRoot(other, "example.org", NOW_MS);
    writeFileSync(join(directory, "ca-key.pem"), readFileSync(join(other, "ca-key.pem")));
    rmSync(other, { recursive: true });
    await expect(rotate("prepare")).rejects.toMatchObject({ code: "ca-key-mismatch" });
  });
});
