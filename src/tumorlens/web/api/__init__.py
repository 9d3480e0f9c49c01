"""The API under /api/v1: cases, findings, pictures, measurements, feedback, and who may ask for them."""

from fastapi import APIRouter

from tumorlens.web.api import access, assessments, cases, feedback, findings, measurements, pictures, sendings, system

router = APIRouter(prefix="/api/v1")
for part in (cases, pictures, measurements, assessments, sendings, feedback, findings, access, system):
    router.include_router(part.router)
