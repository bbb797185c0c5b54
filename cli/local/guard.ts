/**
 * Ends the children of a mesh whose `up` was killed outright (SIGKILL, a closed terminal, a crash): a shell that waits
 * for the end of its standard input, which the system closes with the parent, then ends every process group listed.
 */
import { spawn } from "node:child_process";
import { appendFileSync, writeFileSync } from "node:fs";

export interface Guard {
  /** From now on this process group ends with the parent. */
  add(pid: number | undefined): void;
  /** The parent ends in order: nothing is left to do. */
  release(): void;
}

const SCRIPT = `
while read -r line; do :; done
while read -r group; do kill -s TERM -- "-$group"; kill -s CONT -- "-$group"; done < "$1" 2> /dev/null
[ -s "$1" ] && sleep 1
while read -r group; do kill -s KILL -- "-$group"; done < "$1" 2> /dev/null
`;

export function startGuard(groupsFile: string): Guard {
  writeFileSync(groupsFile, "", { mode: 0o600 });
  const shell = spawn("/bin/sh", ["-c", SCRIPT, "glassmesh-guard", groupsFile], {
    detached: true,
    stdio: ["pipe", "ignore", "ignore"],
  });
  shell.on("error", () => undefined);
  shell.stdin.on("error", () => undefined);
  shell.unref();
  return {
    add(pid) {
      if (pid !== undefined) appendFileSync(groupsFile, `${pid}\n`);
    },
    release() {
      writeFileSync(groupsFile, "");
      shell.stdin.end();
    },
  };
}
