// Three planes of a NIfTI volume with the heat over it, by NiiVue. Loaded when it is first asked for.

export class Planes {
  constructor(canvas, script, caseId) {
    Object.assign(this, { canvas, script, caseId });
  }

  // key: of the class whose heat is drawn, or null for none; at: (right, front, top) as shares of the volume, where the
  // crosshair goes.
  async open(volume, key, opacity, at) {
    this.nv ??= await this.start();
    const wanted = `${volume} ${key}`;
    if (this.shown === wanted) return this.goTo(at);
    this.shown = wanted;
    const base = `/api/v1/cases/${this.caseId}/volumes/${volume}`;
    const volumes = [{ url: `${base}/scan.nii.gz`, name: "scan.nii.gz", colormap: "gray" }];
    if (key) volumes.push({ url: `${base}/heat-${key}.nii.gz`, name: "heat.nii.gz", colormap: "inferno", cal_min: 20, cal_max: 255, opacity });
    await this.nv.loadVolumes(volumes);
    this.goTo(at);
  }

  goTo(at) {
    if (at) this.nv.scene.crosshairPos = at;
    this.nv.drawScene();
  }

  setOpacity(opacity) {
    if (this.nv?.volumes.length > 1) this.nv.setOpacity(1, opacity);
  }

  async start() {
    await new Promise((resolve, reject) => {
      const tag = document.createElement("script");
      tag.src = this.script;
      tag.onload = resolve;
      tag.onerror = () => reject(new Error("the viewer of volumes could not be loaded"));
      document.head.append(tag);
    });
    const nv = new globalThis.niivue.Niivue({
      backColor: [0, 0, 0, 1],
      show3Dcrosshair: true,
      crosshairColor: [0.3, 0.85, 0.8, 0.9],
      isResizeCanvas: true,
      isRadiologicalConvention: true, // as the slices are shown: the patient's right on the left
      dragAndDropEnabled: false,
      loadingText: "loading",
      
    });
    await nv.attachToCanvas(this.canvas);
    nv.setSliceType(nv.sliceTypeMultiplanar);
    return nv;
  }
}
