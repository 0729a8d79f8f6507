// Runs a program on a MicroPython of another age, which npm has as WebAssembly.
// node old_micropython.mjs PACKAGE_FOLDER PROGRAM FOLDER=/where ...
import fs from "fs";
import path from "path";

const [folder, program, ...mounts] = process.argv.slice(2);
process.chdir(folder); // its wasm is looked for in the current folder
const { loadMicroPython } = await import(path.join(folder, "micropython.mjs"));
const mp = await loadMicroPython({ heapsize: 1 << 20, stdout: (line) => console.log(line) });
const files = mp.FS ?? mp._module.FS;

function copy(from, to) {
    files.mkdir(to);
    for (const name of fs.readdirSync(from)) {
        const source = path.join(from, name);
        if (fs.statSync(source).isDirectory()) copy(source, `${to}/${name}`);
        else files.writeFile(`${to}/${name}`, fs.readFileSync(source));
    }
}
for (const mount of mounts) copy(...mount.split("="));
try {
    mp.runPython(fs.readFileSync(program, "utf8"));
} catch (error) {
    console.log(error.message);
}
