import { describe, expect, test } from "vitest";
import { PortAgreements } from "./port-agreements.ts";

describe("ports that workers agree on", () => {
  test("the first binds any, the others take the same", async () => {
    const ports = new PortAgreements();
    expect(ports.portOf("in 0")).toBe(0);
    const second = ports.portOf("in 0");
    ports.bound("in 0", 4321);
    expect([await second, ports.portOf("in 0"), ports.portOf("other 0")]).toEqual([4321, 4321, 0]);
  });

  test("when the first can't have one, the next tries", async () => {
    const ports = new PortAgreements();
    void ports.portOf("in 0");
    const second = ports.portOf("in 0");
    const third = ports.portOf("in 0");
    ports.bound("in 0", 0);
    ports.released("in 0");
    expect(await second).toBe(0);
    ports.bound("in 0", 4321);
    expect(await third).toBe(4321);
  });

  test("after the last has closed, a listener of the same name gets a port of its own", () => {
    const ports = new PortAgreements();
    void ports.portOf("in 0");
    ports.bound("in 0", 4321);
    void ports.portOf("in 0");
    ports.released("in 0");
    expect(ports.portOf("in 0")).toBe(4321);
    ports.released("in 0");
    ports.released("in 0");
    expect(ports.portOf("in 0")).toBe(0);
  });
});
